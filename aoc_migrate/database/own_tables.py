"""Checks that tables with our names are ours, before they are read or written.

Any role that may create in the schema could have made one first, with code on it that would run as the migrating
role. So each is locked and checked in the same transaction that reads or writes it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from aoc_migrate.database.bookkeeping import (
    BOOKKEEPING,
    DEFINED,
    VERSION,
    VERSION_KEY,
    WORK,
    blind,
    create_bookkeeping,
)
from aoc_migrate.database.plans import again
from aoc_migrate.database.relation import Relation, Schema, literal
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.trust import owner_of, trusted
from aoc_migrate.errors import Abort
from aoc_migrate.report.model import Finding, finding

_LISTED = {"links": "text[]", "repair": "boolean", "refused": "boolean", "stuck": "boolean"}
_KEPT = {"quarantine_run": "bigint", "quarantine_batch": "bigint", "quarantine_repaired": "jsonb"}
"""Columns that every work list and every quarantine has; others come from the raw table."""
_REPLACE = "Rename or drop it, as its owner or as a superuser."
_STRIP = "Drop that, and keep the table."


def _wanted(schema: Schema, name: str) -> str:
    """Return (name, place, columns, whether it may have no others) as SQL; ``place`` has the schema too."""
    known = {column: type_ for column, type_, _ in DEFINED[name].columns} if name in DEFINED else None
    columns = known or (_LISTED if name == WORK else _KEPT)
    listed = ", ".join(literal(f"{column} {type_}") for column, type_ in columns.items())
    exact = str(known is not None).lower()
    return f"({literal(name)}, {schema[name].literal}, ARRAY[{listed}]::text[], {exact})"


def flaws(schema: Schema, raw: Relation, names: tuple[str, ...]) -> str:
    """Return a query of (name, flaw, remedy): why what has one of ``names`` is not ours.

    `to_regclass` also sees what another session has made since the query began; the catalogs that it is joined
    with do not.
    """
    return f"""WITH wanted (name, place, columns, exact) AS (
  VALUES {", ".join(_wanted(schema, name) for name in names)}
) SELECT name, flaw, remedy FROM wanted AS w JOIN pg_class c ON c.oid = to_regclass(place) CROSS JOIN LATERAL (
  SELECT CASE
    WHEN c.relkind <> 'r' OR c.relpersistence <> 'p' THEN 'it is not an ordinary table'
    WHEN NOT {trusted("c.relowner", owner_of(raw))}
      THEN 'it belongs to role ' || quote_ident(pg_get_userbyid(c.relowner))
    WHEN NOT (w.columns <@ found.columns AND (found.columns <@ w.columns OR NOT w.exact))
      THEN 'it has other columns' END AS wrong, CASE
    WHEN EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal) THEN 'it has a trigger'
    WHEN EXISTS (SELECT FROM pg_rewrite WHERE ev_class = c.oid) THEN 'it has a rule'
    WHEN c.relrowsecurity OR EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid)
      THEN 'it has row-level security'
    WHEN EXISTS (SELECT FROM pg_inherits WHERE c.oid IN (inhrelid, inhparent)) THEN 'it has a parent or a child'
    WHEN EXISTS (SELECT FROM pg_constraint WHERE confrelid = c.oid) THEN 'a foreign key refers to it' END AS added
  FROM (SELECT coalesce(array_agg(attname || ' ' || format_type(atttypid, atttypmod)), '{{}}') AS columns
    FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS found
) AS judged CROSS JOIN LATERAL (SELECT coalesce(wrong, added) AS flaw,
  CASE WHEN wrong IS NULL THEN {literal(_STRIP)} ELSE {literal(_REPLACE)} END AS remedy) AS said
WHERE flaw IS NOT NULL
UNION ALL SELECT name, 'a type has it', {literal(_REPLACE)}
FROM wanted JOIN pg_type t ON t.oid = to_regtype(place) WHERE t.typrelid = 0
UNION ALL SELECT {literal(VERSION_KEY)}, 'it does not belong to ' || name, {literal(_REPLACE)}
FROM wanted JOIN pg_class k ON k.oid = to_regclass(left(place, -1) || '_pkc"') WHERE name = '{VERSION}'
  AND NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = k.oid AND indrelid = to_regclass(place))"""


def guard(schema: Schema, raw: Relation) -> str:
    """Return the statement that ends a script if a relation with one of our names is not ours."""
    words = "name || ' has one of our names, but ' || flaw || '. Find out who made it, and what for. ' || remedy"
    return f"""DO $aoc$
DECLARE found text := (SELECT string_agg({words}, ' ') FROM (
{flaws(schema, raw, tuple(BOOKKEEPING))}) AS foreign_objects);
BEGIN
  IF found IS NOT NULL THEN
    RAISE EXCEPTION '%', found;
  END IF;
END $aoc$"""


@contextmanager
def own_tables_locked(session: Session, *names: str, writes: bool = False) -> Iterator[None]:
    """Lock and check existing tables of ours; the block runs in the same transaction.

    The lock prevents others from dropping, renaming and altering them, with ``writes`` also from adding triggers.
    Raises Abort ``foreign-object``.
    """
    with session.alone():
        lock(session, *names, writes=writes)
        yield


def lock(session: Session, *names: str, writes: bool = False) -> None:
    """Lock tables of ours in the open transaction, and check them. Raises Abort ``foreign-object``."""
    listed = ", ".join(str(session.schema[name]) for name in names)
    mode = "ROW EXCLUSIVE" if writes else "ACCESS SHARE"
    try:
        session.quietly(f"LOCK TABLE {listed} IN {mode} MODE")
    except psycopg.errors.WrongObjectType:
        raise Abort(foreign(names[0], "it is not an ordinary table")) from None
    refuse_foreign(session, *names)


def refuse_foreign(session: Session, *names: str) -> None:
    """Raise Abort ``foreign-object`` if a relation with one of ``names`` is not ours."""
    for row in again(session, flaws(session.schema, session.raw, names)):
        raise Abort(foreign(row["name"], row["flaw"], row["remedy"]))


def foreign(subject: str, reason: str = "it was not made by aoc-migrate", remedy: str = _REPLACE) -> Finding:
    """Return the finding ``foreign-object``."""
    return finding("foreign-object", subject, reason=reason, remedy=remedy)


def create(session: Session, *names: str) -> None:
    """Create missing tables of ours, private from the start. Raises Abort ``foreign-object``."""
    refuse_foreign(session, *names)
    tables = [str(session.schema[name]) for name in names]
    if not session.value("SELECT bool_or(to_regclass(name) IS NULL) FROM unnest(%s::text[]) AS name", (tables,)):
        return
    try:
        with session.transaction():
            session.run(create_bookkeeping(session.schema, *names))
            lock(session, *names)
    except (psycopg.errors.DuplicateTable, psycopg.errors.UniqueViolation):  # another session was faster
        create(session, *names)


def blind_readers(session: Session) -> list[str]:
    """Return the roles, quoted, that may read the raw table but not the tables that `wait` reads."""
    rows = session.rows(f"SELECT DISTINCT grantee FROM ({blind(session.schema, session.raw)}) AS b ORDER BY 1")
    return [row["grantee"] for row in rows]


def writers(schema: Schema, raw: Relation, names: tuple[str, ...]) -> str:
    """Return a query of who else may write to tables of ours: (name, relation or sequence, grantee, rights)."""
    listed = ", ".join(f"({literal(name)}, to_regclass({schema[name].literal}))" for name in names)
    return f"""SELECT name, relation, grantee, string_agg(DISTINCT privilege, ', ' ORDER BY privilege) AS rights
FROM (
  SELECT w.name, c.oid::regclass::text AS relation, a.grantee AS oid, a.privilege_type AS privilege,
    CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
  FROM (VALUES {listed}) AS w (name, oid) JOIN pg_class c ON c.oid = w.oid OR c.relkind = 'S' AND EXISTS (
    SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND refclassid = classid
      AND refobjid = w.oid)
  CROSS JOIN LATERAL (SELECT * FROM aclexplode(c.relacl) UNION ALL SELECT x.* FROM pg_attribute,
    aclexplode(attacl) AS x WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS a
  WHERE a.privilege_type <> 'SELECT'
) AS granted WHERE oid = 0 OR NOT {trusted("oid", owner_of(raw))} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""


def writable(session: Session, *names: str) -> list[Finding]:
    """Return a finding ``bookkeeping-writable`` for each of our tables that others may write to."""
    found: dict[str, list[Row]] = {}
    for row in session.rows(writers(session.schema, session.raw, names)):
        found.setdefault(row["name"], []).append(row)
    return [
        finding(
            "bookkeeping-writable",
            name,
            names=", ".join(f"{row['grantee']} ({row['rights']})" for row in rows),
            remedy=" ".join(f"REVOKE {row['rights']} ON {row['relation']} FROM {row['grantee']};" for row in rows),
        )
        for name, rows in found.items()
    ]
