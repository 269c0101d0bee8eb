"""The quarantine table: rows move to it from the raw table, and it keeps the originals of repaired rows."""

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.bookkeeping import make_private
from aoc_migrate.database.own_tables import lock, own_tables_locked, refuse_foreign
from aoc_migrate.database.relation import Relation, quoted
from aoc_migrate.database.session import Session
from aoc_migrate.quarantine.contents import has_quarantine
from aoc_migrate.report.facts.quarantined import QuarantinedRow, QuarantinedRun, QuarantineListFacts
from aoc_migrate.report.model import Report
from aoc_migrate.revisions.graph import contract_at

COLUMNS = (
    "quarantine_run bigint NOT NULL",
    "quarantine_batch bigint NOT NULL",
    "quarantine_reason text NOT NULL",
    "quarantine_kept text",
    "quarantine_links text[] NOT NULL",
    "quarantine_repaired jsonb",
    "quarantine_at timestamptz NOT NULL DEFAULT now()",
    "quarantine_by text NOT NULL",
)
"""What is known of each row: the run and transaction that put it here, why, which row stands in for it, which rows
named it, and of a repaired row a digest of each value that replaced one of its own (NULL: the row was moved)."""


def make_quarantine(session: Session, contract: Contract) -> None:
    """Make the quarantine with the raw table's columns and owner, and rights for nobody else.

    Raises Abort ``foreign-object``.
    """
    quarantine, raw = session.schema[contract.quarantine], session.schema[contract.table]
    refuse_foreign(session, contract.quarantine)
    if catalog.kind(session, contract.quarantine) is None:
        with session.transaction():
            session.run(f"CREATE TABLE {quarantine} AS SELECT * FROM {raw} WITH NO DATA")
            added = ", ".join(f"ADD {column}" for column in COLUMNS)
            session.run(f"ALTER TABLE {quarantine} {added}, ADD PRIMARY KEY (id, quarantine_run)")
            session.run(
                f"CREATE INDEX ON {quarantine} (quarantine_run, quarantine_batch)"
            )  # rows go back by batch
            hand_over(session, quarantine)
    known = catalog.columns(session, contract.quarantine)
    missing = [item for item in catalog.columns(session, contract.table).items() if item[0] not in known]
    if missing:
        with session.transaction():
            lock(session, contract.quarantine, writes=True)
            added = ", ".join(f"ADD {quoted(column)} {type_}" for column, type_ in missing)
            session.run(f"ALTER TABLE {quarantine} {added}")


def hand_over(session: Session, made: Relation) -> None:
    """Give a table that we have just made to the owner of the raw table, and take the rights of everybody else."""
    owner = session.value(
        "SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class WHERE oid = to_regclass(%s)",
        (str(session.raw),),
    )
    session.run(f"ALTER TABLE {made} OWNER TO {owner}")
    session.run(make_private(made))


def stored_columns(session: Session, contract: Contract, prefix: str = "") -> str:
    """Return the columns that an INSERT sets, of those that the quarantine has; a generated one is made again."""
    rows = session.rows(
        "SELECT quote_ident(attname) AS name FROM pg_attribute WHERE attrelid = to_regclass(%s) "
        "AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attname = ANY (%s) ORDER BY attnum",
        (str(session.schema[contract.table]), list(catalog.columns(session, contract.quarantine))),
    )
    return ", ".join(f"{prefix}{row['name']}" for row in rows)


def run_quarantine(session: Session, report: Report, limit: int) -> None:
    """List what is in quarantine: runs with their reasons, and a sample of ids."""
    contract = contract_at(session.target.name, report.revision)
    name = session.schema[contract.quarantine]
    report.put(QuarantineListFacts(0))
    if has_quarantine(session, contract):
        with own_tables_locked(session, contract.quarantine):
            report.put(_listed(session, name, limit))


def _listed(session: Session, name: Relation, limit: int) -> QuarantineListFacts:
    by_run = session.rows(
        "SELECT quarantine_run AS run, quarantine_reason AS reason, "
        "count(*) FILTER (WHERE quarantine_repaired IS NULL) AS moved, count(quarantine_repaired) AS repaired, "
        f"min(quarantine_at)::text AS since, min(quarantine_by) AS by FROM {name} "
        'GROUP BY 1, 2 ORDER BY 1 DESC, quarantine_reason COLLATE "C"'
    )
    sample = session.rows(
        "SELECT id, quarantine_run AS run, CASE WHEN quarantine_repaired IS NULL THEN 'moved' ELSE 'repaired' END "
        f"AS what, quarantine_reason AS reason, quarantine_kept AS kept FROM {name} "
        'ORDER BY id COLLATE "C", run LIMIT %s',
        (limit,),
    )
    return QuarantineListFacts(
        session.value(f"SELECT count(*) FROM {name}"),
        tuple(QuarantinedRun(**row) for row in by_run),
        tuple(QuarantinedRow(**row) for row in sample),
    )
