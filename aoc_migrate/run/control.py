"""`control`: show and change what is asked of a run that is under way in another session.

It does not take the run lock. It merges what is asked into one row of the state table, which the run reads
once a second. Of two controllers the last wins, and the row keeps the changes of both for the ledger.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from psycopg.types.json import Jsonb

from aoc_migrate.database import catalog
from aoc_migrate.database.asked import CONTROL, Asked, words
from aoc_migrate.database.bookkeeping import LOG, REHEARSAL, STATE
from aoc_migrate.database.obeying import LONGEST, read_asked
from aoc_migrate.database.own_name import who
from aoc_migrate.database.own_tables import create, own_tables_locked, writable
from aoc_migrate.database.relation import utc
from aoc_migrate.database.runner_lock import holder, holders
from aoc_migrate.database.session import Session
from aoc_migrate.errors import Abort, refused
from aoc_migrate.inspect.replication import replication_findings
from aoc_migrate.inspect.session_checks import write_findings
from aoc_migrate.report.facts.runs import Run
from aoc_migrate.report.facts.steered import RunUnderWay, SteeringFacts
from aoc_migrate.report.model import Next, Report, finding
from aoc_migrate.revisions import ledger
from aoc_migrate.revisions.current import our_tables
from aoc_migrate.revisions.graph import contract_at, position, resolve
from aoc_migrate.run.running_work import running_work

_OBEYS = (
    "The run obeys within a second between batches, tries and steps. An index build, a validation or a scan "
    "that has begun goes on to its end."
)
_SHORT = LONGEST // 3  # characters of the settings, and of the changes; the run reads no longer row
_BEFORE = (
    "CASE WHEN jsonb_typeof(s.value) <> 'object' THEN '{}' "
    f"WHEN length((s.value - 'changes')::text) < {_SHORT} THEN s.value - 'changes' ELSE '{{}}' END"
)
"""What is asked already."""
_CHANGES = (
    "CASE WHEN jsonb_typeof(s.value->'changes') = 'array' "
    f"AND length((s.value->'changes')::text) < {_SHORT} THEN s.value->'changes' ELSE '[]' END"
)
"""How it came to that. A run has recorded a long history already; it takes a shorter one for a new one."""


@dataclass(frozen=True)
class ControlOptions:
    """What to ask of the run: ``settings`` by their names in the row, and a revision as it was typed."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    stop_after: str | None = None

    @property
    def changes(self) -> bool:
        """Whether anything is asked for."""
        return bool(self.settings) or self.stop_after is not None


def run_control(session: Session, report: Report, options: ControlOptions) -> None:
    """Show the run under way and what is asked of it; ask for more if ``options`` do.

    Raises Abort (exit 2) for a revision that the run does not come to.
    """
    lock = holder(session)
    if lock is None:
        report.findings.append(_nothing(session))
        report.next = Next(f"aoc-migrate status {session.target.name}")
        return
    if options.changes:
        settings = dict(options.settings)
        if options.stop_after is not None:
            settings["stop_after"] = _revision(session, report, options.stop_after)
        _may_ask(session, report)
        if report.errors:
            return
        _ask(session, settings)
        report.changed, report.result = True, f"asked: {words(settings)}"
    report.put(RunUnderWay(lock, running_work(session)))
    _show(session, report, options)


def _nothing(session: Session) -> Any:
    return finding("nothing-to-control", session.target.name)


def _show(session: Session, report: Report, options: ControlOptions) -> None:
    """Report what is asked of the run, as far as this role may read it, and how to take it back."""
    target, note = session.target.name, _OBEYS if options.changes else ""
    report.next = Next(f"aoc-migrate status {target}", note=note)
    asked = put_asked(session, report)
    option = "--resume" if asked.pause else "--continue" if asked.pause_before_strong else ""
    if option:
        report.next = Next(choices=(f"aoc-migrate control {target} {option}",), note=note)


def put_asked(session: Session, report: Report) -> Asked:
    """Put what is asked of the run under way into the report, if there is a run, and this role may read it."""
    unreadable = catalog.kind(session, STATE) is not None and not catalog.may_read(session, STATE)
    if unreadable or not holders(session):
        return Asked()
    asked = read_asked(session)
    report.put(SteeringFacts(asked.changes, asked.states))
    return asked


def _revision(session: Session, report: Report, typed: str) -> str:
    """Return the revision at which the run is to stop. Raises Abort (exit 2) if it does not come there."""
    target = session.target.name
    revision = resolve(target, typed, report.revision)
    if catalog.kind(session, REHEARSAL) is not None:
        raise refused("A rehearsal goes all the way up and down: --stop-after is for an upgrade or a downgrade.")
    run = _open_run(session)
    if run is None:  # it audits; when it begins, it checks the revision itself
        return revision or "base"
    if not run.command.startswith(("upgrade", "downgrade")):
        raise refused(f"{run.command} does not stop half way: --stop-after is for an upgrade or a downgrade.")
    at, goal, stop = (
        position(target, None if name == "base" else name)
        for name in (report.revision or "base", run.goal, revision or "base")
    )
    if not (at < stop <= goal or goal <= stop < at):
        raise refused(
            f"The run is at {report.revision or 'base'} on its way to {run.goal}; it does not come to "
            f"{revision or 'base'}. Choose a revision between the two."
        )
    return revision or "base"


def _open_run(session: Session) -> Run | None:
    """Return the run under way as the ledger has it, or None if it has not begun or this role may not read it."""
    runs = ledger.runs(session, 1) if catalog.may_read(session, LOG) else ()
    return runs[0] if runs and runs[0].outcome == "running" else None


def _may_ask(session: Session, report: Report) -> None:
    """Report what this role lacks, and who else may write to the table; both stop us."""
    report.findings += write_findings(session, our_tables(session))
    report.findings += writable(session, STATE)
    if not report.errors and catalog.kind(session, STATE) is None:  # the first upgrade has yet to make it
        contract = contract_at(session.target.name, report.revision)
        report.findings += replication_findings(session, contract, (), own=(STATE,))
        if not report.errors:
            create(session, STATE)


def _ask(session: Session, settings: Mapping[str, Any]) -> None:
    """Merge ``settings`` into the row. Raises Abort if the run has ended meanwhile."""
    pids, state, at = [row["pid"] for row in holders(session)], session.schema[STATE], utc("clock_timestamp()")
    by = f"jsonb_build_object('by', current_user, 'host', %(host)s::text, 'at', {at})"
    change = f"jsonb_build_array({by} || jsonb_build_object('asked', %(words)s::text))"
    with own_tables_locked(session, STATE, writes=True):
        session.run(
            f"INSERT INTO {state} AS s (name, value) "
            f"VALUES ('{CONTROL}', %(settings)s::jsonb || {by} || jsonb_build_object('changes', {change})) "
            f"ON CONFLICT (name) DO UPDATE SET recorded_at = now(), value = {_BEFORE} || excluded.value "
            f"|| jsonb_build_object('changes', {_CHANGES} || (excluded.value->'changes'))",
            {"settings": Jsonb(dict(settings)), "host": who(), "words": words(settings)},
        )
        if [row["pid"] for row in holders(session)] != pids:
            raise Abort(_nothing(session))


def go_ahead() -> str:
    """Return a word that no earlier --continue used."""
    return datetime.now(UTC).isoformat()
