"""CHECK constraints and NOT NULL: guard new rows first, prove the old ones later."""

from collections.abc import Sequence
from typing import TypeVar

from aoc_migrate.contract.model import Check
from aoc_migrate.database import catalog
from aoc_migrate.database.catalog import OURS, SIGNATURE, STATE
from aoc_migrate.database.ddl.own_nulls import drop_not_nulls, own_not_nulls
from aoc_migrate.database.ddl.printing import migration, needed, online
from aoc_migrate.database.ddl.run import strong, weak
from aoc_migrate.database.ddl.table import forget, record, recorded
from aoc_migrate.database.partitions import is_partitioned
from aoc_migrate.database.session import Session
from aoc_migrate.report.model import Stopped, make

_T = TypeVar("_T")


def add_checks(table: str, checks: Sequence[Check], proof: Check | None = None) -> None:
    """Add CHECKs as NOT VALID in one ALTER: new rows are held from this moment.

    ``proof`` (the columns IS NOT NULL) is left out once its columns are NOT NULL. Each constraint's COMMENT
    carries a hash of its definition, so that any role can see whether it was changed.
    """
    session = online()
    wanted = [*checks, proof] if proof else list(checks)
    if session is not None:
        wanted = _missing(session, table, wanted, proof)
    for some in _instants(session, table, wanted):
        adds = ",\n  ".join(_add(check) for check in some)
        with needed(f"{_standing(table, checks)} < {len(checks)}"):
            strong(table, [f"ALTER TABLE {table}\n  {adds}", _sign(table, some)])


def _instants(session: Session | None, table: str, parts: Sequence[_T]) -> list[Sequence[_T]]:
    """Return what is changed under one strong lock: all, or on a partitioned table one thing after the other.

    There each is changed in every partition, under a lock on all of them.
    """
    if session is not None and is_partitioned(session, table):
        return [[part] for part in parts]
    return [parts] if parts else []


def _standing(table: str, checks: Sequence[Check], and_: str = OURS.format(oid="oid")) -> str:
    names = ", ".join(f"'{check.name}'" for check in checks)
    return (
        f"(SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass('{table}') "
        f"AND conname IN ({names}) AND {and_})"
    )


def _missing(session: Session, table: str, wanted: list[Check], proof: Check | None) -> list[Check]:
    found = catalog.constraints(session, table)
    for check in wanted:
        if check.name in found and not found[check.name].ours:
            raise Stopped(make("foreign-object", f"{table}.{check.name}"))
    proven = proof is not None and not catalog.nullable(session, table, proof.columns)
    return [c for c in wanted if c.name not in found and not (proven and c is proof)]


def _add(check: Check) -> str:
    return f"ADD CONSTRAINT {check.name} CHECK ({check.predicate}) NOT VALID"


def _sign(table: str, checks: Sequence[Check]) -> str:
    names = ", ".join(f"'{check.name}'" for check in checks)
    return f"""DO $aoc$
DECLARE made record;
BEGIN
  FOR made IN SELECT conname, {SIGNATURE.format(oid="oid")} AS signature
    FROM pg_constraint WHERE conrelid = '{table}'::regclass AND conname IN ({names})
  LOOP
    EXECUTE format('COMMENT ON CONSTRAINT %I ON {table} IS %L', made.conname, made.signature);
  END LOOP;
END $aoc$"""


def drop_checks(table: str, checks: Sequence[Check]) -> None:
    """Drop CHECKs in one ALTER; those that are gone or not ours are left."""
    session = online()
    names = [check.name for check in checks]
    if session is not None:
        found = catalog.constraints(session, table)
        names = [name for name in names if name in found and found[name].ours]
    for some in _instants(session, table, names):
        drops = ",\n  ".join(f"DROP CONSTRAINT IF EXISTS {name}" for name in some)
        with needed(f"{_standing(table, checks)} > 0"):
            strong(table, [f"ALTER TABLE {table}\n  {drops}"])


def validate(table: str, checks: Sequence[Check], proof: Check | None = None) -> None:
    """Prove the existing rows for all CHECKs in one scan, under a lock that blocks no reader or writer."""
    session = online()
    names = [check.name for check in (*checks, *([proof] if proof else []))]
    if session is not None:
        found = catalog.constraints(session, table)
        names = [name for name in names if name in found and not found[name].validated]
    if names:
        proofs = ",\n  ".join(f"VALIDATE CONSTRAINT {name}" for name in names)
        every = [*checks, *([proof] if proof else [])]
        with needed(f"{_standing(table, every, 'NOT convalidated')} > 0"):
            weak(table, f"ALTER TABLE {table}\n  {proofs}")


def set_not_null(table: str, columns: tuple[str, ...], proof: Check, revision: str) -> None:
    """Set NOT NULL without a scan, because ``proof`` is validated; then drop the proof.

    Two statements: in one ALTER the drop would come first and the table be scanned under ACCESS EXCLUSIVE
    (`reference/limits.md` 1.5). Columns that were NOT NULL already are recorded for the downgrade.
    """
    session = online()
    names: Sequence[str] = columns
    if session is not None:
        names = catalog.nullable(session, table, columns)
        standing = proof.name in catalog.constraints(session, table)
        if not names and not standing and catalog.state(session, revision) is not None:
            return
    listed = ", ".join(f"'{column}'" for column in columns)
    own = f", 'own_not_null', {own_not_nulls(table, listed)}" if session and is_partitioned(session, table) else ""
    found = record(
        revision,
        "jsonb_build_object('not_null', (SELECT coalesce(jsonb_agg(attname), '[]') FROM pg_attribute "
        f"WHERE attrelid = '{table}'::regclass AND attnotnull AND attname IN ({listed})){own})",
    )
    *before, last = _instants(session, table, names) or [()]
    for some in before:
        strong(table, [found, _set_not_null(table, some)])
    statements = [found, _set_not_null(table, last)] if last else [found]
    nullable = f"EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('{table}') AND NOT attnotnull"
    with needed(
        f"{nullable} AND attname IN ({listed})) OR {_standing(table, [proof], 'true')} > 0 "
        f"OR NOT {recorded(revision)}"
    ):
        strong(table, [*statements, f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {proof.name}"])


def _set_not_null(table: str, columns: Sequence[str]) -> str:
    return f"ALTER TABLE {table} " + ", ".join(f"ALTER {column} SET NOT NULL" for column in columns)


def unprove(table: str, checks: Sequence[Check], proof: Check, revision: str) -> None:
    """Take NOT NULL back where we set it, and make the CHECKs NOT VALID again; new rows stay guarded."""
    session = online()
    wanted = [*checks, proof]
    if session is not None:
        found = catalog.state(session, revision)
        if found is None:
            return
        if set(proof.columns) <= set(found["not_null"]):
            wanted.remove(proof)
        if is_partitioned(session, table):
            for check in wanted:
                strong(table, [_add_again(table, [check]), _sign(table, [check])])
            drop_not_nulls(session, table, proof.columns, found)
            with migration().autocommit_block():
                session.run(forget(revision))
            return
    listed = ", ".join(f"'{column}'" for column in proof.columns)
    restore = f"""DO $aoc$
DECLARE mine record;
BEGIN
  FOR mine IN SELECT attname FROM pg_attribute, {STATE}
    WHERE attrelid = '{table}'::regclass AND attnotnull AND attname IN ({listed})
      AND name = '{revision}' AND NOT value->'not_null' ? attname
  LOOP
    EXECUTE format('ALTER TABLE {table} ALTER %I DROP NOT NULL', mine.attname);
  END LOOP;
END $aoc$"""
    with needed(recorded(revision)):
        strong(table, [_add_again(table, wanted), _sign(table, wanted), restore, forget(revision)])


def _add_again(table: str, checks: Sequence[Check]) -> str:
    parts = ",\n  ".join(f"DROP CONSTRAINT IF EXISTS {c.name},\n  {_add(c)}" for c in checks)
    return f"ALTER TABLE {table}\n  {parts}"
