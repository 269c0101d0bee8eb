"""Whether the sorts of an upgrade fit into ``temp_file_limit``, where this role may not lift it."""

from collections.abc import Iterable, Iterator

import psycopg

from aoc_migrate.contract.model import Contract, Index
from aoc_migrate.database import catalog
from aoc_migrate.database.lock_wait import failed
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.shape import spread_of
from aoc_migrate.inspect.chain_links import count_wrong
from aoc_migrate.report.model import Finding

LIKE_A_BUILD = (
    "('work_mem', current_setting('maintenance_work_mem')), "
    "('max_parallel_workers_per_gather', '0'), "  # the limit holds for each process
    "('enable_indexscan', 'off'), ('enable_indexonlyscan', 'off'), ('jit', 'off')"
)
"""Settings under which a query sorts as the build of an index does: rows of an SQL table (name, value)."""


def sort_of(index: Index, raw: Relation) -> str:
    """Return a query that sorts what a build of ``index`` sorts: the same columns, with a few bytes more a row."""
    listed = ", ".join(column.split()[0] for column in index.columns)
    return (
        f"SELECT count(*) FROM (SELECT {listed} FROM {raw} ORDER BY {', '.join(index.columns)} OFFSET 0) AS sorted"
    )


def audit_sorts(
    session: Session, contract: Contract, indexes: Iterable[Index], *, chain: bool
) -> Iterator[Finding]:
    """Yield ``temp-file-limit`` if a sort fails at the limit; without a limit, nothing is sorted.

    Tried are the builds of ``indexes`` that do not exist yet and, with ``chain``, the sort that checks the links.
    An estimate would stop upgrades that fit, or let through some that do not. A distributed table is sorted shard
    by shard on the workers, each of which has a limit of its own; here, all of it would be sorted at once.
    """
    if session.value("SELECT current_setting('temp_file_limit')") == "-1":
        return
    if spread_of(session, contract.table).column:
        return
    label, raw = f"audit of {contract.table}", session.schema[contract.table]
    try:
        for index in indexes:
            if catalog.index_state(session, contract.table, index) != "valid":
                label = f"the build of {index.name}"
                _try(session, sort_of(index, raw), label)
        if chain:
            label = f"the check of the links of {contract.table}"
            count_wrong(session, contract)
    except psycopg.errors.ConfigurationLimitExceeded as error:
        yield failed(session, label, error)


def _try(session: Session, query: str, label: str) -> None:
    with session.transaction():
        session.rows(f"SELECT set_config(name, value, true) FROM (VALUES {LIKE_A_BUILD}) AS ours (name, value)")
        session.say(f"checking whether {label} stays below temp_file_limit …", "step")
        session.rows(query)
    session.full_reads["trial sorts"] += 1
