"""What was asked of a run under way, as its session keeps it."""

import time
from collections.abc import Callable
from dataclasses import replace

from aoc_migrate.database.asked import Asked, words
from aoc_migrate.database.limits import Limits
from aoc_migrate.report.facts.steered import Change
from aoc_migrate.report.model import StepReport

SECONDS_BETWEEN_READS = 1.0


class Steering:
    """What was asked of the run of a session that holds the run lock.

    ``typed``: the limits of the command. ``changes``: what was asked, the oldest first. ``paused``: the seconds of
    pauses that were asked for. ``on_change`` is called after a change.
    """

    def __init__(self, typed: Limits) -> None:
        self.typed = typed
        self.asked, self.changes, self.paused = Asked(), list[Change](), 0.0
        self._askers: dict[str, Change] = {}
        self.on_change: Callable[[], None] | None = None
        self._used: str | None = None  # the last go-ahead
        self._recorded = 0  # changes in the row that are known
        self._reported, self._noted = set[str](), 0.0
        self._next = 0.0

    def due(self) -> bool:
        """Return whether the row may be read again."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + SECONDS_BETWEEN_READS
        return True

    def note_pause(self, step: StepReport) -> None:
        """Add the pauses since the last call to a step, as those of the kind ``asked``."""
        seconds, self._noted = self.paused - self._noted, self.paused
        if seconds:
            step.pauses = {**(step.pauses or {}), "asked": round(seconds * 1000, 1)}
            step.paused_ms = round(sum(step.pauses.values()), 1)

    def reason(self, target: str, *, strong: bool) -> str | None:
        """Return why the run must pause now, or None. ``strong``: its next step takes a strong lock."""
        if self.asked.pause:
            return self._waiting(target, "pause", "--resume")
        if strong and self.asked.pause_before_strong and self.asked.go_ahead in (None, self._used):
            return self._waiting(target, "pause_before_strong", "--continue")
        return None

    def who(self, setting: str) -> str:
        """Return who asked for a setting, and when."""
        asker = self._askers[setting]
        return f"{asker.who} (at {asker.at})"

    def passes(self) -> None:
        """Note that a strong step goes on: its go-ahead lets no other one through."""
        self._used = self.asked.go_ahead

    def _waiting(self, target: str, setting: str, option: str) -> str:
        before = " before this strong lock" if setting == "pause_before_strong" else ""
        who, go_on = self.who(setting), f"aoc-migrate control {target} {option}"
        return f"pausing{before} because {who} asked for it; to go on: {go_on}"

    def take(self, asked: Asked) -> list[Change]:
        """Keep what is asked now, and return the changes since the last call."""
        before, self.asked = self.asked, asked
        new = list(asked.changes[self._recorded if self._recorded <= len(asked.changes) else 0 :])
        self._recorded = len(asked.changes)
        if not new and asked.settings != before.settings:  # by psql
            said = asked.last if asked.last != before.last else None  # else that was somebody earlier
            said = said or Change(asked.recorded_at or "some time", "somebody", None, "")
            new = [replace(said, asked=words(asked.settings, before.settings))]
        for setting, value in asked.settings.items():
            if new and before.settings.get(setting) != value:
                self._askers[setting] = new[-1]
        self.changes += new
        return new

    def report_ignored(self) -> str:
        """Return what of the row is ignored, once."""
        new = [name for name in self.asked.ignored if name not in self._reported]
        self._reported |= {*new}
        return ", ".join(new)
