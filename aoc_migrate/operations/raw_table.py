"""The raw table itself: created if it is missing, and never dropped."""

from aoc_migrate.contract.model import Contract
from aoc_migrate.database.bookkeeping import HOLD, STATE, VERSION, blind, create_bookkeeping, make_private, share
from aoc_migrate.database.questions import column_exists, exists
from aoc_migrate.database.relation import Relation, quoted
from aoc_migrate.operations.facts import claim, forget, record
from aoc_migrate.operations.registry import operation
from aoc_migrate.operations.step import Executor, Kind, Lock, Printed, Step


@operation
def create_raw_table(run: Executor, table: str, contract: Contract, revision: str) -> None:
    """Create the raw table if it is missing, with nullable columns, and the link column if that is missing.

    A new table belongs to the owner that ``…_TABLE_OWNER`` names. The bookkeeping tables are created as well.
    """
    at, raw, link = run.schema, run.schema[table], contract.link
    found = f"'table_found', {exists(raw)}, 'link_found', {column_exists(raw, link)}"
    add = f"ALTER TABLE {raw} ADD COLUMN IF NOT EXISTS {link} text"
    statements = (
        make_private(at[VERSION]),
        create_bookkeeping(at, STATE, HOLD),
    )  # Alembic prints its own for the version
    missing = " OR ".join(f"NOT {exists(at[name])}" for name in (STATE, HOLD))
    run.run(Step(Kind.CREATE_BOOKKEEPING, at[STATE], (STATE, HOLD), Lock.NONE, statements, missing))
    run.run(
        claim(at, revision.rpartition("_")[0]),
        record(at, revision, f"jsonb_build_object({found})"),
        _create(raw, contract, run.owner),
        Step(
            Kind.ADD_COLUMN,
            raw,
            (link,),
            Lock.ACCESS_EXCLUSIVE,
            (add,),
            needed=f"{exists(raw)} AND NOT {column_exists(raw, link)}",
        ),
    )
    blind_readers = f"EXISTS (SELECT FROM ({blind(at, raw)}) AS b)"
    run.run(Step(Kind.SHARE, raw, (VERSION, HOLD), Lock.NONE, (share(at, raw),), blind_readers))


@operation
def keep_raw_table(run: Executor, table: str, revision: str) -> None:
    """Forget what the baseline found. The table and its rows stay: no downgrade drops them."""
    run.run(forget(run.schema, revision))


def _create(raw: Relation, contract: Contract, owner: str | None) -> Step:
    lines = []
    for column in contract.columns:
        extra = " PRIMARY KEY" if column.name == "id" else ""
        default = f" DEFAULT {column.default}" if column.default else ""
        lines.append(f"{column.name} {column.type}{extra}{default}")
    sql = ["CREATE TABLE IF NOT EXISTS {} (\n  {}\n)".format(raw, ",\n  ".join(lines))]
    if owner:
        sql.append(f"ALTER TABLE {raw} OWNER TO {quoted(owner)}")
    return Step(
        Kind.CREATE_TABLE,
        raw,
        (raw.name,),
        Lock.NONE,
        tuple(sql),
        needed=f"NOT {exists(raw)}",
        printed=Printed.ASKING if owner else Printed.PLAIN,
    )
