"""The raw table itself and the table in which migrations remember what they found."""

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.catalog import STATE
from aoc_migrate.database.ddl.printing import emit, migration, needed, online
from aoc_migrate.database.ddl.run import strong
from aoc_migrate.database.session import Session

OWNER = "aoc_table_owner"

CREATE_STATE = (
    f"CREATE TABLE IF NOT EXISTS {STATE} "
    "(name text PRIMARY KEY, value jsonb NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now())"
)


def record(name: str, facts: str) -> str:
    """Return the statement that keeps ``facts`` (a jsonb expression) under ``name``, if nothing is there."""
    return f"INSERT INTO {STATE} (name, value) SELECT '{name}', {facts} ON CONFLICT (name) DO NOTHING"


def forget(name: str) -> str:
    """Return the statement that drops what was kept under ``name``."""
    return f"DELETE FROM {STATE} WHERE name = '{name}'"


def recorded(name: str) -> str:
    """Return the condition that something is kept under ``name``."""
    return f"EXISTS (SELECT FROM {STATE} WHERE name = '{name}')"


def claim(target: str) -> str:
    """Return the statement that says whose schema this is, so that another history is refused here."""
    return record("target", f"jsonb_build_object('name', '{target}')")


def create_table(contract: Contract, revision: str) -> None:
    """Make the raw table where there is none, with nullable columns, and add the link column.

    A table made here gets the owner that ``…_TABLE_OWNER`` names.
    """
    table, link = contract.table, contract.link
    found = record(
        revision,
        f"jsonb_build_object('table_found', to_regclass('{table}') IS NOT NULL, 'link_found', EXISTS ("
        f"SELECT FROM pg_attribute WHERE attrelid = to_regclass('{table}') AND attname = '{link}'))",
    )
    create = f"CREATE TABLE IF NOT EXISTS {table} (\n  {_columns(contract)}\n)"
    add_link = f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {link} text"
    claimed = claim(revision.rpartition("_")[0])
    session = online()
    if session is None:
        emit(CREATE_STATE, claimed, found, create, *_owner_when_made(table, revision))
        with needed(
            f"NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('{table}') AND attname = '{link}')"
        ):
            strong(table, [add_link])
        return
    before = [CREATE_STATE, claimed, found]
    if catalog.kind(session, table) is None:
        before += [create, *_owner(session, table)]
    elif link in catalog.columns(session, table):
        _short(session, before)
        return
    strong(table, [add_link], before)


def _owner(session: Session, table: str) -> list[str]:
    wanted = session.target.table_owner
    if not wanted:
        return []
    return [f"ALTER TABLE {table} OWNER TO {session.value('SELECT quote_ident(%s)', (wanted,))}"]


def _owner_when_made(table: str, revision: str) -> list[str]:
    wanted = migration().opts.get(OWNER)
    if not wanted:
        return []
    literal = "'" + str(wanted).replace("'", "''") + "'"
    return [
        f"""DO $aoc$
BEGIN
  IF NOT (SELECT (value->>'table_found')::boolean FROM {STATE} WHERE name = '{revision}') THEN
    EXECUTE format('ALTER TABLE {table} OWNER TO %I', {literal});
  END IF;
END $aoc$"""
    ]


def _short(session: Session, statements: list[str]) -> None:
    with migration().autocommit_block(), session.transaction():
        for statement in statements:
            session.run(statement)


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
        emit(forget(revision))
    elif catalog.state(session, revision) is not None:
        _short(session, [forget(revision)])
