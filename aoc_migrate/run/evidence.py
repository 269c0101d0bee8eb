"""`upgrade --evidence DIR`: files for the change ticket, written during the run, so a failed run has them too."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from aoc_migrate import __version__
from aoc_migrate.database.log import sentence
from aoc_migrate.database.session import Session
from aoc_migrate.database.targets import Target
from aoc_migrate.kit.checksums import SUMS, write_sums
from aoc_migrate.report.forms import render
from aoc_migrate.report.html import page
from aoc_migrate.report.index import run_page
from aoc_migrate.report.model import FAILED, USAGE, Report, finding
from aoc_migrate.run.evidence_folder import INDEX, list_runs, new_run, replace_text
from aoc_migrate.run.plan import run_plan
from aoc_migrate.run.target_run import Options, on_target
from aoc_migrate.run.upgrade import UpgradeOptions, goal_up, run_upgrade
from aoc_migrate.run.verify import VerifyOptions, run_verify

FORMS = {"json": "json", "markdown": "md", "html": "html"}
_NOTHING_RAN = "Nothing ran, so this page is all the evidence of this run. No row was read."


def upgrade_with_evidence(parent: Path, target: Target, options: Options, upgrade: UpgradeOptions) -> Report:
    """Plan and upgrade one target, write its evidence into ``parent``, and return the report of the upgrade.

    Raises Abort (exit 2) if no folder can be made there.
    """
    evidence = Evidence(target, new_run(parent, target.name))
    try:
        report = evidence.upgrade(options, upgrade)
    finally:
        evidence.close()
    if evidence.missing:
        code = FAILED if report.changed else USAGE
        values = {"reason": evidence.missing, "target": target.name, "exit_code": code}
        report.findings.append(finding("evidence-incomplete", str(evidence.folder), **values))
    return report


class Evidence:
    """The folder of one run: its plan, audit, upgrade and verify reports, and the SQL that ran.

    A run that does nothing leaves one page instead. A full disk does not stop the migration; ``missing`` then says
    why the evidence is incomplete.
    """

    def __init__(self, target: Target, folder: Path) -> None:
        self.target, self.folder = target, folder
        self.missing = ""
        self._kept: dict[str, Report] = {}
        self._sql: TextIO | None = None

    def upgrade(self, options: Options, upgrade: UpgradeOptions) -> Report:
        """Plan and upgrade the target, write its evidence, and return the report of the upgrade."""
        if upgrade.plan:
            with self._attempt():
                (self.folder / f"{self.target.name}-approved-plan.json").write_bytes(upgrade.plan.content)
        report = on_target(self.target, "upgrade", options, lambda s, r: self._plan_and_upgrade(s, r, upgrade))
        if self._kept.keys() == {"plan"} and not report.errors:
            self._replace_by_page(report)
            return report
        self._keep("upgrade", report)
        if report.reached and "verify" not in self._kept:  # the run ended before its own verify
            verify = VerifyOptions(options.limit)
            self._keep("verify", on_target(self.target, "verify", options, lambda s, r: run_verify(s, r, verify)))
        return report

    def _plan_and_upgrade(self, session: Session, report: Report, options: UpgradeOptions) -> None:
        goal_up(self.target.name, options.revision, report.revision)  # what is refused leaves no evidence
        planned = replace(report, findings=[], steps=[], facts=())
        run_plan(session, planned, options.revision)
        self._keep("plan", planned)
        run_upgrade(session, report, replace(options, keep=self._keep, write=self._write))

    def _keep(self, command: str, report: Report) -> None:
        """Write a report in every format, and the index."""
        self._kept[command] = report
        report.end()
        for form, suffix in FORMS.items():
            text = render(form, command, [report], report.exit_code)
            with self._attempt():
                (self.folder / f"{self.target.name}-{command}.{suffix}").write_text(text, encoding="utf-8")
        self._write_index()

    def _write(self, sql: str) -> None:
        """Append SQL that runs on the target, and flush it."""
        name = self.target.name
        with self._attempt():
            if self._sql is None:
                self._sql = (self.folder / f"{name}-upgrade.sql").open("w", encoding="utf-8")
                sql = f"-- The SQL that aoc-migrate {__version__} ran on {name}, without its queries.\n{sql}"
            self._sql.write(sql)
            self._sql.flush()

    def _replace_by_page(self, report: Report) -> None:
        """Write the page of a run that did nothing, instead of the folder."""
        text = page("upgrade", [report], report.exit_code, _NOTHING_RAN)
        with self._attempt():
            replace_text(self.folder.with_name(f"{self.folder.name}.html"), text)
            shutil.rmtree(self.folder)

    def _write_index(self) -> None:
        with self._attempt():
            files = [path.name for path in self.folder.iterdir() if path.name not in (SUMS, INDEX)]
            replace_text(self.folder / INDEX, run_page(self.target.name, self._kept, files))

    def close(self) -> None:
        """Write index, checksums and overview; a folder in which there is nothing goes."""
        if self._sql:
            with self._attempt():
                self._sql.close()
        if self._kept and self.folder.is_dir():
            self._write_index()
            with self._attempt():
                write_sums(self.folder, [path.name for path in self.folder.iterdir() if path.name != SUMS])
        with self._attempt():
            if not self._kept:
                shutil.rmtree(self.folder)
            if self._kept or (self.folder.parent / INDEX).exists():  # which may list the folder that is gone
                list_runs(self.folder.parent)

    @contextmanager
    def _attempt(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if self.missing != error.strerror:
                self.missing = str(error.strerror)
                sentence(
                    f"the evidence is incomplete: {self.missing}", event="evidence-incomplete", level="warning"
                )
