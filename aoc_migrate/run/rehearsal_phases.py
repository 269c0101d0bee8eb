"""The phases of a rehearsal: each is one of our commands on the copy, with the WAL and the growth of each step.

WAL is that of the whole server, growth that of the whole database, on a Citus cluster summed over its nodes: what
other sessions write meanwhile is in both. So let nobody else use the server of the copy.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from aoc_migrate.database.observing import only_observing
from aoc_migrate.database.same_database import is_marked
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.nodes import everywhere
from aoc_migrate.errors import refused
from aoc_migrate.report.facts.rehearsed import Phase
from aoc_migrate.report.model import Report, StepReport
from aoc_migrate.report.verdict import longest_stall
from aoc_migrate.run.target_run import Options, Verb, on_target

_WAL = "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint AS bytes"
_SIZE = "SELECT pg_database_size(current_database()) AS bytes"
_ABOUT_US = ("held",)  # the rehearsal's own downgrade leaves a hold, and its report says how the copy is left


@dataclass(frozen=True)
class Written:
    """The bytes of WAL that the server has written, if it says so, and the size of the database."""

    wal: int | None
    size: int


@dataclass
class Phases:
    """Runs commands on the copy, each in a session and with a report of its own, and adds these up in one report.

    ``session`` is another session of the same database; it measures. It holds the lock ``mark``, so that no phase
    runs elsewhere: a URL of several hosts may lead to another server each time. ``done`` are the phases that have
    ended.
    """

    session: Session
    report: Report
    options: Options
    mark: int
    done: list[Phase] = field(default_factory=list)

    def run(self, phase: str, command: str, verb: Verb, **flags: Any) -> bool:
        """Run a command as a phase; return whether it found no error. ``flags`` replace those of the services."""
        options = replace(self.options, flags=replace(self.options.flags, **flags))
        begun = last = self._written()

        def measure(step: StepReport) -> None:
            nonlocal last
            now = self._written()
            step.phase, step.wal_bytes = phase, _between(last.wal, now.wal)
            step.growth_bytes, last = now.size - last.size, now

        def measured(session: Session, report: Report) -> None:
            if not is_marked(session, self.mark):
                raise refused(
                    f"{self.session.target.variable} led to another database this time, which is unchanged. "
                    "Let it name one server, then run the same command again."
                )
            session.on_note = measure
            verb(session, report)

        self.session.say(f"phase {phase}", "step")
        found = on_target(self.session.target, command, options, measured)
        now, longest = self._written(), longest_stall(found)
        self.done.append(
            Phase(
                phase,
                round(found.seconds or 0, 3),
                longest.stall_ms if longest else None,
                _between(begun.wal, now.wal),
                now.size - begun.size,
            )
        )
        self._add(found)
        return not found.errors

    def _written(self) -> Written:
        wal: int | None = None
        with only_observing(self.session, "how much WAL is written"):  # Aurora does not say
            wal = self._sum(_WAL)
        return Written(wal, self._sum(_SIZE))

    def _sum(self, query: str) -> int:
        return sum(row["bytes"] for row in everywhere(self.session, "WAL and size", query))

    def resume(self, ended: Sequence[Phase]) -> None:
        """Go on after phases that had ended before an interruption; the verdict counts their longest stalls."""
        self.done += ended
        for phase in (phase for phase in ended if phase.longest_stall_ms):
            words = f"the longest stall of {phase.phase}, before the interruption"
            stall = phase.longest_stall_ms
            self.session.steps.append(StepReport(words, waited_ms=0.0, held_ms=stall, phase=phase.phase))

    def _add(self, found: Report) -> None:
        report, known = self.report, {(f.slug, f.subject) for f in self.report.findings}
        report.findings += [
            f for f in found.findings if (f.slug, f.subject) not in known and f.slug not in _ABOUT_US
        ]
        self.session.steps += found.steps
        report.changed |= found.changed
        report.failed |= found.failed
        report.run = found.run or report.run
        report.reached = found.reached
        if found.reached:
            report.revision = found.revision


def _between(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before
