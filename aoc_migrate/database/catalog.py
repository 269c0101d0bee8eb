"""Facts of PostgreSQL's catalog. Relations given by name are in the target's schema."""

from dataclasses import dataclass
from typing import Any

from aoc_migrate.contract.model import Index
from aoc_migrate.contract.rules import Check
from aoc_migrate.database.bookkeeping import STATE, VERSION
from aoc_migrate.database.own_tables import own_tables_locked
from aoc_migrate.database.questions import exists, index_is_invalid, index_is_ours
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Session
from aoc_migrate.database.signature import SIGNATURE, is_ours, named


@dataclass(frozen=True)
class Constraint:
    """A CHECK constraint as the catalog has it.

    ``signature`` is computed from the catalog, ``comment`` is the constraint's COMMENT; ``executable``: every role
    may run its function.
    """

    name: str
    validated: bool
    signature: str
    comment: str | None
    executable: bool

    def is_(self, check: Check) -> bool:
        """Return whether this is the contract's ``check``, made by a revision."""
        return self.signature == self.comment == check.signature

    def state(self, check: Check) -> str:
        """``proven``, ``guarded`` (it checks only new rows) or ``changed`` (not the contract's rule)."""
        return ("proven" if self.validated else "guarded") if self.is_(check) else "changed"


def kind(session: Session, relation: str) -> str | None:
    """Return the relkind of ``relation`` (``r`` table, ``p`` partitioned, ``v`` view …), or None."""
    found: str | None = session.value(
        "SELECT relkind FROM pg_class WHERE relname = %s AND relnamespace = to_regnamespace(quote_ident(%s))",
        (relation, session.target.schema),
    )
    return found


def may_read(session: Session, relation: str) -> bool:
    """Return whether ``relation`` exists and this role may read all of it."""
    return bool(
        session.value("SELECT has_table_privilege(to_regclass(%s), 'SELECT')", (str(session.schema[relation]),))
    )


def columns(session: Session, table: str) -> dict[str, str]:
    """Return the columns of ``table`` and their types as PostgreSQL writes them."""
    rows = session.rows(
        "SELECT attname, format_type(atttypid, atttypmod) AS type FROM pg_attribute "
        "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        (str(session.schema[table]),),
    )
    return {row["attname"]: row["type"] for row in rows}


def nullable(session: Session, table: str, names: tuple[str, ...]) -> list[str]:
    """Return which of the columns ``names`` may hold NULL.

    ``attnotnull`` alone is not enough in PostgreSQL 18: a NOT NULL constraint that is NOT VALID sets it as well.
    """
    unproven = "SELECT unnest(conkey) FROM pg_constraint WHERE conrelid = attrelid AND contype = 'n' "
    rows = session.rows(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) "
        f"AND attname = ANY (%s) AND (NOT attnotnull OR attnum IN ({unproven} AND NOT convalidated)) "
        "ORDER BY attnum",
        (str(session.schema[table]), list(names)),
    )
    return [row["attname"] for row in rows]


def constraints(session: Session, table: str) -> dict[str, Constraint]:
    """Return the CHECK constraints of ``table`` by name."""
    rows = session.rows(
        f"SELECT conname AS name, convalidated AS validated, {SIGNATURE.format(oid='c.oid')} AS signature, "
        "obj_description(oid, 'pg_constraint') AS comment, NOT EXISTS (SELECT FROM pg_depend d "
        "WHERE d.classid = 'pg_constraint'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_proc'::regclass "
        "AND NOT has_function_privilege('public', d.refobjid, 'EXECUTE')) AS executable "
        "FROM pg_constraint c WHERE conrelid = to_regclass(%s) AND contype = 'c'",
        (str(session.schema[table]),),
    )
    return {row["name"]: Constraint(**row) for row in rows}


def check_function(session: Session, table: str, check: Check) -> str:
    """Return ``missing``, ``foreign`` (another definition, or an owner who could change it) or ``ours``."""
    row = session.row(
        f"SELECT found IS NULL AS missing, {is_ours(session.schema[table], check, 'found')} AS ours "
        "FROM to_regprocedure(%s) AS found",
        (function_name(session, check),),
    )
    return "missing" if row["missing"] else "ours" if row["ours"] else "foreign"


def rows_estimated(session: Session, table: str) -> int | None:
    """Return the rows of a table by PostgreSQL's statistics, over partitions and shards; None before the first."""
    named = str(session.schema[table])
    if session.on_cluster:
        from aoc_migrate.database.spread.shards import on_shards

        what, query = (
            f"how many rows {table} has",
            "SELECT sum(greatest(reltuples, 0))::bigint AS rows FROM {tables}",
        )
        query += " AS shards JOIN pg_class USING (oid) WHERE relkind <> 'p'"
        if found := on_shards(session, what, query, session.schema[table]):
            return sum(row["rows"] or 0 for row in found) or None
    rows: int | None = session.value(
        "SELECT nullif(sum(greatest(reltuples, 0)), 0)::bigint FROM pg_class WHERE oid = to_regclass(%s) "
        "AND relkind <> 'p' OR oid IN (SELECT relid FROM pg_partition_tree(to_regclass(%s)) WHERE isleaf)",
        (named, named),
    )
    return rows


def function_name(session: Session, check: Check) -> str:
    """Return the name of the function of ``check`` in SQL, with the types of its arguments."""
    return named(session.schema, check)


def index_state(session: Session, table: str, index: Index) -> str:
    """Return ``missing``, ``foreign`` (another relation or definition), ``invalid`` or ``valid``."""
    return defined(session, session.schema[table], session.schema[index.name], index)


def defined(session: Session, table: Relation, name: Relation, index: Index) -> str:
    """Return the same for the relation ``name`` as an index of ``table``."""
    return str(
        session.value(
            f"SELECT CASE WHEN NOT {exists(name)} THEN 'missing' "
            f"WHEN NOT {index_is_ours(table, name, index)} THEN 'foreign' "
            f"WHEN {index_is_invalid(table, name)} THEN 'invalid' ELSE 'valid' END"
        )
    )


def cannot_execute(session: Session, table: str, check: Check) -> list[str]:
    """Return the roles that may write to ``table``, but may not run the function of ``check``.

    PostgreSQL's own roles are left out: the members of pg_write_all_data are listed themselves.
    """
    raw, function = str(session.schema[table]), function_name(session, check)
    rows = session.rows(
        "SELECT rolname FROM pg_roles r WHERE NOT has_function_privilege(r.oid, to_regprocedure(%s), 'EXECUTE') "
        "AND NOT starts_with(rolname, 'pg_') AND (has_any_column_privilege(r.oid, to_regclass(%s), 'INSERT') "
        "OR has_any_column_privilege(r.oid, to_regclass(%s), 'UPDATE')) ORDER BY rolname",
        (function, raw, raw),
    )
    return [row["rolname"] for row in rows]


def which_may_be_read(session: Session, relations: tuple[str, ...]) -> list[str]:
    """Return which of ``relations`` exist and this role may read."""
    rows = session.rows(
        "SELECT relname FROM pg_class WHERE relname = ANY (%s) AND has_table_privilege(oid, 'SELECT') "
        "AND relnamespace = to_regnamespace(quote_ident(%s))",
        (list(relations), session.target.schema),
    )
    return [row["relname"] for row in rows]


def revisions(session: Session) -> list[str]:
    """Return the content of the version table: nothing, or one revision."""
    if kind(session, VERSION) is None:
        return []
    with own_tables_locked(session, VERSION):
        return versions(session)


def versions(session: Session) -> list[str]:
    """Return the content of the version table, which the caller has locked and checked."""
    return [row["version_num"] for row in session.rows(f"SELECT version_num FROM {session.schema[VERSION]}")]


def state(session: Session, name: str) -> dict[str, Any] | None:
    """Return what is recorded under ``name`` in the state table; None also where this role may not read it."""
    if not may_read(session, STATE):
        return None
    with own_tables_locked(session, STATE):
        return recorded(session, name)


def recorded(session: Session, name: str) -> dict[str, Any] | None:
    """Return the same; the caller has locked and checked the state table."""
    value = session.value(f"SELECT value FROM {session.schema[STATE]} WHERE name = %s", (name,))
    return value if isinstance(value, dict) else None
