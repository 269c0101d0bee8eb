"""One call of a command: its targets, its options, and the work on each target."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import click

from aoc_migrate.cli.output import Output
from aoc_migrate.errors import Abort

if TYPE_CHECKING:
    from aoc_migrate.database.targets import Target
    from aoc_migrate.report.model import Report
    from aoc_migrate.run.target_run import Options, Verb


@dataclass(frozen=True)
class Run:
    """One call of a command. ``names`` are the named targets; ``revision`` is as typed, not resolved."""

    command: str
    names: tuple[str, ...]
    revision: str | None
    options: "Options"
    output: Output
    elsewhere: "Target | None" = None

    @cached_property
    def targets(self) -> "list[Target]":
        """What is ``elsewhere``, else the named targets or all that are configured; Abort (exit 2) without any."""
        from aoc_migrate.database.targets import choose_targets

        return [self.elsewhere] if self.elsewhere else choose_targets(self.names)

    def only(self, *, unless: bool = False) -> "Target":
        """Return the first target, which must be the only one, ``unless`` the command takes several (exit 2)."""
        if len(self.targets) > 1 and not unless:
            raise click.UsageError("Several targets are configured: name one.")
        return self.targets[0]

    def one_or_all(self, all_targets: bool) -> "Run":
        """Return the run. Refuse several targets without --all, and --all with a named one (exit 2)."""
        if all_targets and self.names:
            raise click.UsageError("Name one target or add --all, not both.")
        if len(self.targets) == 1:
            return self
        if not all_targets:
            raise click.UsageError("Several targets are configured: name one, or add --all.")
        if self.relative:
            return self
        return self.but(options=replace(self.options, typed=("--all", *self.options.typed), named=False))

    @property
    def relative(self) -> bool:
        """Whether the revision is relative: typed again for all, it would take a target further that is done."""
        return (self.revision or "").startswith(("+", "-"))

    def but(self, **changes: Any) -> "Run":
        """Return the run with other fields; a file that held a URL may be readable only once."""
        run = replace(self, **changes)
        run.__dict__["targets"] = self.targets
        return run

    def report(self, verb: "Verb", target: "Target") -> "Report":
        """Run ``verb`` on one target and return its report."""
        from aoc_migrate.run.target_run import on_target

        return on_target(target, self.command, self.options, verb)

    def verb(self, verb: "Verb", *, stops: bool = False) -> NoReturn:
        """Run ``verb`` on each target, write the report, and exit. See `work` for ``stops``."""
        self.work(lambda run, target: run.report(verb, target), stops=stops)

    def work(
        self,
        work: "Callable[[Run, Target], Report]",
        *,
        stops: bool = False,
        reported: "Callable[[Target], None] | None" = None,
    ) -> NoReturn:
        """Do ``work`` on the targets in order, write the reports, and exit with the highest exit code.

        With ``stops``, the first target that fails is the last, and the command in its report is for all of them.
        ``reported`` is called for each successful target once somebody got its report. A refusal ends the run; the
        reports of earlier targets are still written.
        """
        self.output.check()
        reports, abort = self._reports(work, stops)
        if stops:
            self._lead_on(reports)
        exit_code, delivered = self.output.write(self.command, reports)
        for target, report in zip(self.targets, reports, strict=False):
            if reported and delivered and not report.exit_code:
                reported(target)
        if abort is not None:
            self.output.say(str(abort))
        for target in self.targets[len(reports) :]:
            self.output.say(f"{target.name} was not touched", event="not-touched", level="warning")
        self.output.publish(self.command, reports)
        sys.exit(exit_code)

    def _lead_on(self, reports: "list[Report]") -> None:
        """Name the targets that had no turn in the report that stopped the command; only it says what is next."""
        untouched = [target.name for target in self.targets[len(reports) :]]
        if untouched:
            words = f"{', '.join(untouched)} {'was' if len(untouched) == 1 else 'were'} not touched."
            reports[-1].next = replace(reports[-1].next, note=f"{words} {reports[-1].next.note}".strip())
        if reports[-1].exit_code:
            from aoc_migrate.report.model import Next

            for report in reports[:-1]:
                report.next = Next()

    def _reports(
        self, work: "Callable[[Run, Target], Report]", stops: bool
    ) -> "tuple[list[Report], Abort | None]":
        reports: list[Report] = []
        several = stops and len(self.targets) > 1 and not self.relative
        run = self.but(options=replace(self.options, named=False)) if several else self
        for target in self.targets:
            try:
                reports.append(work(run, target))
            except Abort as abort:
                if not reports:
                    raise
                from aoc_migrate.run.target_run import refusal

                return [*reports, refusal(target, self.options, abort)], abort
            if stops and reports[-1].exit_code:
                break
        return reports, None
