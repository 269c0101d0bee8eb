"""What a signal is: a reason to pause, with its own query, words and remedy."""

from abc import ABC, abstractmethod
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import ClassVar

import psycopg

from aoc_migrate.database.error_text import first_line
from aoc_migrate.database.observing import ends_the_work
from aoc_migrate.database.session import Session
from aoc_migrate.report.model import finding


@dataclass(frozen=True)
class Normal:
    """The step may go on."""


@dataclass(frozen=True)
class Stop:
    """The step pauses, for this reason."""

    reason: str


@dataclass(frozen=True)
class Unknown:
    """The signal cannot be read, for this reason; the step goes on."""

    reason: str


Verdict = Normal | Stop | Unknown


class SignalError(Exception):
    """A signal cannot be read, for a reason in its own words."""


@dataclass
class WritingStep:
    """A step in batches that writes to ``table``.

    ``bound``: its ``statement_timeout`` in seconds. ``waiting``: how many sessions wait for rows that it locks, as
    another session saw last.
    """

    session: Session
    label: str
    table: str
    bound: float
    waiting: int = 0


class Signal(ABC):
    """A reason to pause a step.

    ``kind`` is its name in the report. ``what`` completes "cannot see …". ``remedy`` ends a pause that outlasts
    ``limits.deadline``; a signal without one bounds its pause itself, and then it ``gave_up``. ``seconds``: for
    how long it has paused the step. ``opened``: what to close at the end of the step.
    """

    kind: ClassVar[str]
    what: str
    remedy: ClassVar[str] = ""

    def __init__(self, step: WritingStep) -> None:
        self.step, self.session = step, step.session
        self.seconds = 0.0
        self.gave_up = False
        self.opened = ExitStack()

    def evaluate(self) -> Verdict:
        """Return the verdict now. A query that fails makes it Unknown, unless its error ends the work."""
        try:
            reason = self.reason()
        except psycopg.Error as error:
            if ends_the_work(self.session, error, self.step.bound):
                raise
            return Unknown(first_line(error, self.session.target))
        except SignalError as error:
            return Unknown(str(error))
        return Stop(reason) if reason else Normal()

    @abstractmethod
    def reason(self) -> str | None:
        """Return why the step must pause now, or None if it may go on."""

    def go_on(self, slug: str, although: str, **words: str) -> None:
        """Pause no more: log ``although`` what, and add the finding to the report."""
        self.gave_up = True
        self.session.say(f"{self.step.label}: going on {although}", level="warning")
        raw = str(self.session.schema[self.step.table])
        self.session.findings.append(finding(slug, self.step.table, label=self.step.label, raw=raw, **words))

    def close(self) -> None:
        """Close what it has opened for itself."""
        with suppress(psycopg.Error):
            self.opened.close()
