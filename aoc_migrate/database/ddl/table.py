"""The raw table itself: made where it is missing, and never dropped."""

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.books import HOLD, STATE, VERSION, create_books, make_private, share
from aoc_migrate.database.ddl.printing import emit, migration, needed, online, schema
from aoc_migrate.database.ddl.run import strong
from aoc_migrate.database.ours import create
from aoc_migrate.database.relation import Relation, Schema, quoted
from aoc_migrate.database.state import claim, forget, keep, record

OWNER = "aoc_table_owner"


def create_table(contract: Contract, revision: str) -> None:
    """Make the raw table where there is none, with nullable columns, and add the link column.

    A table made here gets the owner that ``…_TABLE_OWNER`` names.
    """
    at, link = schema(), contract.link
    raw = at[contract.table]
    linked = (
        f"EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass({raw.literal}) AND attname = '{link}')"
    )
    found = record(
        at,
        revision,
        f"jsonb_build_object('table_found', to_regclass({raw.literal}) IS NOT NULL, 'link_found', {linked})",
    )
    make = f"CREATE TABLE IF NOT EXISTS {raw} (\n  {_columns(contract)}\n)"
    add_link = f"ALTER TABLE {raw} ADD COLUMN IF NOT EXISTS {link} text"
    before = [claim(at, revision.rpartition("_")[0]), found]
    session = online()
    if session is None:
        emit(*_books(at), *before, make, *_owner_when_made(raw, revision))
        with needed(f"NOT {linked}"):
            strong(raw, [add_link])
        emit(share(at, raw))
        return
    with migration().autocommit_block():
        create(session, STATE, HOLD)
    if catalog.kind(session, contract.table) is None:
        owner = session.target.table_owner
        before += [make, *([f"ALTER TABLE {raw} OWNER TO {quoted(owner)}"] if owner else [])]
    elif link in catalog.columns(session, contract.table):
        with migration().autocommit_block():
            keep(session, *before)
        return
    strong(raw, [add_link], before)


def _books(at: Schema) -> list[str]:
    """Return what makes our own tables; Alembic prints one of its own for its version."""
    return [make_private(at[VERSION]), create_books(at, STATE, HOLD)]


def _owner_when_made(raw: Relation, revision: str) -> list[str]:
    wanted = migration().opts.get(OWNER)
    if not wanted:
        return []
    return [
        f"""DO $aoc$
BEGIN
  IF NOT (SELECT (value->>'table_found')::boolean FROM {schema()[STATE]} WHERE name = '{revision}') THEN
    ALTER TABLE {raw} OWNER TO {quoted(str(wanted))};
  END IF;
END $aoc$"""
    ]


def _columns(contract: Contract) -> str:
    lines = []
    for column in contract.columns:
        extra = " PRIMARY KEY" if column.name == "id" else ""
        default = f" DEFAULT {column.default}" if column.default else ""
        lines.append(f"{column.name} {column.type}{extra}{default}")
    return ",\n  ".join(lines)


def keep_table(revision: str) -> None:
    """Forget what the baseline found. The table and its rows stay: no downgrade drops them."""
    session = online()
    if session is None:
        emit(forget(schema(), revision))
    elif catalog.state(session, revision) is not None:
        with migration().autocommit_block():
            keep(session, forget(session.schema, revision))
