"""Undoes the backfill online: restores the old links in batches, the latest first."""

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.attached_code import link_findings, refuse
from aoc_migrate.database.batches import batches, index_plans_only
from aoc_migrate.database.bookkeeping import JOURNAL, STATE
from aoc_migrate.database.own_tables import own_tables_locked, writable
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.spread.shape import spread_of
from aoc_migrate.database.state import keep
from aoc_migrate.operations.supersedes.distributed import set_back_latest
from aoc_migrate.operations.supersedes.link_journal import counted
from aoc_migrate.operations.supersedes.link_obstacles import link_obstacles
from aoc_migrate.operations.supersedes.statements import begin_again, old_links, set_back
from aoc_migrate.report.model import Finding

SET_BACK = "set back links of {}"
SAMPLE = 200  # ids of rows that were left alone


def restore(session: Session, contract: Contract, name: str, expected_ms: float | None = None) -> None:
    """Set back the links in the journal, counted under ``name``. Rows changed since are left alone.

    Raises Abort for what `objections_to_restore` returns, ``cancelled``, and whatever else ends a batch.
    """
    refuse(session, objections_to_restore(session, contract))
    label = SET_BACK.format(contract.table)
    written = (STATE, JOURNAL)
    with own_tables_locked(session, JOURNAL):
        links = session.row(counted(session.schema))["links"]
    keep(session, begin_again(contract, session.schema, name))
    on_cluster = spread_of(session, contract.table).placement is not None
    with (
        batches(session, label, contract.table, written, expected_ms=expected_ms) as running,
        index_plans_only(session, on_cluster=on_cluster),
    ):
        running.step.kept = 0
        running.progress.count("links", links)
        statement = set_back(contract, session.schema, name)

        def batch(size: int) -> Row:
            if on_cluster:
                return set_back_latest(session, contract, name, size)
            return session.row(statement, {"size": size})

        while (page := running.run_with(batch))["seen"]:
            running.progress.add(page["seen"])
            running.step.kept += len(page["kept"])
            session.kept_links += page["kept"][: SAMPLE - len(session.kept_links)]


def objections_to_restore(session: Session, contract: Contract) -> list[Finding]:
    """Return the findings against setting links back.

    Others may write to the journal, code of others would run, or rows or the table refuse the old links.
    """
    if catalog.kind(session, JOURNAL) is None:
        return []

    def journaled() -> object:
        with own_tables_locked(session, JOURNAL):
            return session.value(f"SELECT EXISTS (SELECT FROM {session.schema[JOURNAL]})")

    found = [*writable(session, JOURNAL), *link_findings(session, contract, journaled)]
    with own_tables_locked(session, JOURNAL):
        return [*found, *link_obstacles(session, contract, old_links)]
