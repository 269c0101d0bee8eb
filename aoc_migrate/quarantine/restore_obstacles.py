"""What prevents rows from being restored from quarantine."""

from collections.abc import Iterator

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.events import INSERT, UPDATE
from aoc_migrate.database.own_tables import own_tables_locked
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.shape import spread_of
from aoc_migrate.quarantine.column_types import changed_types, narrower_types, required_columns
from aoc_migrate.quarantine.table import gone_columns
from aoc_migrate.quarantine.work_list import digest, row_constraints, trigger_findings
from aoc_migrate.report.model import Finding, finding


def unchanged(contract: Contract, row: str, saved: str) -> str:
    """Return the SQL condition that the repaired columns of ``row`` still hold what the repair wrote.

    ``saved`` is the row in quarantine, which has the digests.
    """
    return " AND ".join(
        f"CASE WHEN {saved}.quarantine_repaired ? '{c}' "
        f"THEN {saved}.quarantine_repaired->>'{c}' = {digest(f'{row}.{c}::text')} ELSE true END"
        for c in repairable(contract)
    )


def repairable(contract: Contract) -> list[str]:
    """Return the columns that a repair may write."""
    return [*(name for name, _, _ in contract.mirrors), *(column.name for column in contract.objects)]


def restore_obstacles(session: Session, contract: Contract, chosen: str, stored: list[str]) -> Iterator[Finding]:
    """Yield why the rows of the condition ``chosen``, the latest run, cannot be restored.

    ``stored``: the columns that would be restored.
    """
    other_types = list(changed_types(session, contract))
    if other_types:  # the constraints could not even be asked
        yield from other_types
        return
    table, target = contract.table, session.target.name
    raw, quarantine, spread = session.schema[table], session.schema[contract.quarantine], spread_of(session, table)
    in_the_way = f"""WITH chosen AS (SELECT * FROM {quarantine} WHERE {chosen}
), moved AS (SELECT id FROM chosen WHERE quarantine_repaired IS NULL
), latest AS (SELECT DISTINCT ON (id) * FROM chosen ORDER BY id, quarantine_run DESC)
SELECT (SELECT count(*) - count(DISTINCT id) FROM moved)
    + (SELECT count(*) FROM moved JOIN {raw} USING (id)) AS taken,
  (SELECT count(quarantine_repaired) FROM latest) - (SELECT count(*) FROM latest b JOIN {raw} t
    ON {spread.same("t", "b")} WHERE b.quarantine_repaired IS NOT NULL
    AND {unchanged(contract, "t", "b")}) AS changed,
  (SELECT count(*) FROM chosen WHERE NOT ({row_constraints(session, table, stored)})) AS guarded"""
    with own_tables_locked(session, contract.quarantine):
        rows = session.row(in_the_way)
    yield from _values_without_column(session, contract, chosen, stored)
    yield from narrower_types(session, contract, chosen, stored)
    yield from required_columns(session, contract, stored)
    if rows["taken"]:
        yield finding("id-taken", table, rows=rows["taken"])
    if catalog.index_state(session, table, contract.idempotency_index()) in ("valid", "invalid"):
        yield finding("index-in-place", table, target=target)
    if rows["guarded"]:
        yield finding("constraints-in-place", table, rows=rows["guarded"], target=target)
    if rows["changed"]:
        yield finding("changed-since", table, rows=rows["changed"], target=session.target.name)
    yield from trigger_findings(session, contract, INSERT | UPDATE)


def _values_without_column(
    session: Session, contract: Contract, chosen: str, stored: list[str]
) -> Iterator[Finding]:
    """Yield ``column-gone`` if moved rows of ``chosen`` have values in columns that are not ``stored``.

    A NULL there loses nothing, and of a repaired row only repaired columns go back, which the contract requires.
    """
    gone, quarantine = gone_columns(session, contract, stored), session.schema[contract.quarantine]
    if not gone:
        return
    counts = ", ".join(f"count({name})" for name in gone)
    any_value = " + ".join(f"num_nonnulls({name})" for name in gone)
    with own_tables_locked(session, contract.quarantine):
        found = session.row(
            f"SELECT count(*) FILTER (WHERE {any_value} > 0) AS rows, ARRAY[{counts}] AS values "
            f"FROM {quarantine} WHERE {chosen} AND quarantine_repaired IS NULL"
        )
    if found["rows"]:
        lost = {name: rows for name, rows in zip(gone, found["values"], strict=True) if rows}
        yield finding(
            "column-gone",
            contract.table,
            rows=found["rows"],
            columns=", ".join(f"{name}: {rows:,}" for name, rows in lost.items()),
            add=", ".join(f"ADD {name} {gone[name]}" for name in lost),
            column=next(iter(lost)),
            raw=session.schema[contract.table],
            quarantine=quarantine,
        )
