"""`upgrade --evidence DIR`: files for the change ticket, written during the run, so a failed run has them too."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from aoc_migrate import __version__
from aoc_migrate.database.log import sentence
from aoc_migrate.database.session import Session
from aoc_migrate.database.targets import Target
from aoc_migrate.errors import refused
from aoc_migrate.kit.checksums import SUMS, write_sums
from aoc_migrate.report.forms import render
from aoc_migrate.report.model import FAILED, USAGE, Report, finding
from aoc_migrate.run.plan import run_plan
from aoc_migrate.run.target_run import Options, on_target
from aoc_migrate.run.upgrade import UpgradeOptions, run_upgrade
from aoc_migrate.run.verify import VerifyOptions, run_verify

FORMS = {"json": "json", "markdown": "md", "html": "html"}


class Evidence:
    """The folder of one run: the plan, audit, upgrade and verify reports of each target, and the SQL that ran.

    A full disk does not stop the migration; the report has the finding ``evidence-incomplete`` afterwards.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept: set[tuple[str, str]] = set()
        self._sql: dict[str, TextIO] = {}
        self._missing = ""

    def keep(self, command: str, report: Report) -> None:
        """Write a report in every format."""
        self.kept.add((report.target, command))
        report.end()
        for form, suffix in FORMS.items():
            text = render(form, command, [report], report.exit_code)
            with self._attempt():
                (self.folder / f"{report.target}-{command}.{suffix}").write_text(text, encoding="utf-8")

    def upgrade(self, target: Target, options: Options, upgrade: UpgradeOptions) -> Report:
        """Plan and upgrade one target, write its evidence, and return the report of the upgrade."""
        if upgrade.plan:
            with self._attempt():
                (self.folder / f"{target.name}-approved-plan.json").write_bytes(upgrade.plan.content)
        report = on_target(target, "upgrade", options, lambda s, r: self._plan_and_upgrade(s, r, upgrade))
        self.keep("upgrade", report)
        if report.reached and (target.name, "verify") not in self.kept:  # the run ended before its own verify
            verify = VerifyOptions(options.limit)
            self.keep("verify", on_target(target, "verify", options, lambda s, r: run_verify(s, r, verify)))
        self.close()
        if self._missing:
            code = FAILED if report.changed else USAGE
            values = {"reason": self._missing, "target": target.name, "exit_code": code}
            report.findings.append(finding("evidence-incomplete", str(self.folder), **values))
        return report

    def _plan_and_upgrade(self, session: Session, report: Report, options: UpgradeOptions) -> None:
        planned = replace(report, findings=[], steps=[], facts=())
        run_plan(session, planned, options.revision)
        self.keep("plan", planned)
        run_upgrade(
            session, report, replace(options, keep=self.keep, write=lambda sql: self.write(report.target, sql))
        )

    def write(self, target: str, sql: str) -> None:
        """Append SQL that runs on a target, and flush it."""
        path = self.folder / f"{target}-upgrade.sql"
        with self._attempt():
            if target not in self._sql:
                self._sql[target] = path.open("w", encoding="utf-8")
                sql = f"-- The SQL that aoc-migrate {__version__} ran on {target}, without its queries.\n{sql}"
            self._sql[target].write(sql)
            self._sql[target].flush()

    def close(self) -> None:
        """Write the checksums of all files, in the format of `sha256sum --check`."""
        for file in self._sql.values():
            with self._attempt():
                file.close()
        with self._attempt():
            write_sums(self.folder, [path.name for path in self.folder.iterdir() if path.name != SUMS])

    @contextmanager
    def _attempt(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if self._missing != error.strerror:
                self._missing = str(error.strerror)
                sentence(
                    f"the evidence is incomplete: {self._missing}", event="evidence-incomplete", level="warning"
                )


@contextmanager
def evidence_in(parent: str) -> Iterator[Evidence]:
    """Make a folder for this run in ``parent``, named after the time in UTC, and close it at the end.

    Raises Abort (exit 2) if it cannot be made.
    """
    if parent in ("", "-"):
        raise refused(f"--evidence takes a folder, not {parent!r}.")
    folder = Path(parent) / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S.%fZ}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise refused(f"--evidence {parent}: {error.strerror}. Choose a writable folder.") from None
    evidence = Evidence(folder)
    try:
        yield evidence
    finally:
        evidence.close()
