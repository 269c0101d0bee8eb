"""The quarantine: the table beside a raw table that surplus rows move to."""

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.session import Session
from aoc_migrate.report.model import Report
from aoc_migrate.run.history import contract_at


def quarantine(contract: Contract) -> str:
    """Return the name of the table that surplus rows move to."""
    return f"{contract.table}_quarantine"


def ours(session: Session, contract: Contract) -> bool:
    """Return whether there is a quarantine, and one that was made here."""
    return "quarantine_run" in catalog.columns(session, quarantine(contract))


def make_quarantine(session: Session, contract: Contract) -> None:
    """Make the quarantine with the raw table's columns and owner, and rights for nobody else."""
    name, table = quarantine(contract), contract.table
    if catalog.kind(session, name) is None:
        with session.transaction():
            session.run(f"CREATE TABLE {name} AS SELECT * FROM {table} WITH NO DATA")
            session.run(
                f"ALTER TABLE {name} ADD PRIMARY KEY (id), ADD quarantine_run bigint NOT NULL, "
                "ADD quarantine_batch bigint NOT NULL, ADD quarantine_reason text NOT NULL, "
                "ADD quarantine_kept text NOT NULL, ADD quarantine_links text[] NOT NULL, "
                "ADD quarantine_at timestamptz NOT NULL DEFAULT now(), ADD quarantine_by text NOT NULL"
            )
            owner = session.value(
                "SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class "
                "WHERE oid = to_regclass(quote_ident(%s))",
                (table,),
            )
            session.run(f"ALTER TABLE {name} OWNER TO {owner}")
            session.run(_REVOKE.format(name=name))
    there = catalog.columns(session, name)
    for column, type_ in catalog.columns(session, table).items():
        if column not in there:
            session.run(f"ALTER TABLE {name} ADD {session.quoted(column)} {type_}")


_REVOKE = """DO $aoc$
DECLARE entry record;
BEGIN
  FOR entry IN SELECT DISTINCT a.grantee FROM pg_class c, aclexplode(c.relacl) AS a
    WHERE c.oid = '{name}'::regclass AND a.grantee <> c.relowner
  LOOP
    EXECUTE format('REVOKE ALL ON {name} FROM %s CASCADE',
      CASE WHEN entry.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(entry.grantee)) END);
  END LOOP;
END $aoc$"""


def stored_columns(session: Session, table: str, prefix: str = "") -> str:
    """Return the columns that an INSERT sets; a generated one is made again."""
    rows = session.rows(
        "SELECT quote_ident(attname) AS name FROM pg_attribute WHERE attrelid = to_regclass(quote_ident(%s)) "
        "AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
        (table,),
    )
    return ", ".join(f"{prefix}{row['name']}" for row in rows)


def run_quarantine(session: Session, report: Report, limit: int) -> None:
    """List what is in quarantine: runs with their reasons, and a sample of ids."""
    contract = contract_at(session.target.name, report.revision)
    name = quarantine(contract)
    report.facts["rows"] = 0
    if not ours(session, contract):
        return
    report.facts["rows"] = session.value(f"SELECT count(*) FROM {name}")
    report.facts["quarantined_by_run"] = session.rows(
        "SELECT quarantine_run AS run, quarantine_reason AS reason, count(*) AS rows, "
        f"min(quarantine_at)::text AS since, min(quarantine_by) AS by FROM {name} GROUP BY 1, 2 ORDER BY 1 DESC"
    )
    report.facts["sample"] = session.rows(
        f'SELECT id, quarantine_kept AS kept, quarantine_run AS run FROM {name} ORDER BY id COLLATE "C" LIMIT %s',
        (limit,),
    )
