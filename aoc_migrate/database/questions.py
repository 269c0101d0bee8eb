"""SQL conditions on the catalog that Steps use online, in a plan and in psql scripts alike.

Online, a condition is written out in full. A script calls a function of the same name in pg_temp, which it creates
first: its steps stay short enough to read.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from aoc_migrate.contract.model import Index
from aoc_migrate.contract.rules import Check
from aoc_migrate.database.relation import VARIABLE, Relation, Schema, literal
from aoc_migrate.database.signature import FUNCTION_DIGEST, SIGNATURE, TRUSTED, named


@dataclass(frozen=True)
class Question:
    """A condition, or an expression of another ``type``; ``body`` has its parameters (name, type) in braces."""

    name: str
    parameters: tuple[tuple[str, str], ...]
    body: str
    type: str = "boolean"

    def ask(self, relation: Relation, *values: str) -> str:
        """Return the condition about ``relation``, the first parameter; ``values`` are SQL for the others."""
        given = (relation.literal, *values)
        if relation.schema == VARIABLE.name:
            return f"pg_temp.{self.name}({', '.join(given)})"
        return self.body.format(**{name: value for (name, _), value in zip(self.parameters, given, strict=True)})

    @property
    def function(self) -> str:
        """The statement that creates the function of a script."""
        listed = ", ".join(f"{name} {type_}" for name, type_ in self.parameters)
        body = self.body.format(**{name: f"${n}" for n, (name, _) in enumerate(self.parameters, 1)})
        head = f"CREATE OR REPLACE FUNCTION pg_temp.{self.name}({listed}) RETURNS {self.type} LANGUAGE sql"
        return f"{head} AS $$\nSELECT {body}\n$$"


CONSTRAINT = Question(
    "aoc_constraint_is_ours",
    (("relation", "text"), ("name", "text"), ("signature", "text")),
    "EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = to_regclass({relation}) AND c.conname = {name} "
    "AND obj_description(c.oid, 'pg_constraint') = {signature}\n"
    "  AND " + SIGNATURE.format(oid="c.oid") + " = {signature})",
)
FUNCTION = Question(
    "aoc_function_is_ours",
    (("relation", "text"), ("function", "text"), ("digest", "text")),
    "EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t "
    f"ON t.oid = to_regclass({{relation}})\n  WHERE p.oid = to_regprocedure({{function}}) AND {TRUSTED}\n"
    f"  AND {FUNCTION_DIGEST} = {{digest}})",
)
INDEX = Question(
    "aoc_index_is_ours",
    (("relation", "text"), ("index", "text"), ("is_unique", "boolean"), ("columns", "text[]")),
    """EXISTS (SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
  WHERE i.indexrelid = to_regclass({index}) AND i.indrelid = to_regclass({relation})
  AND i.indisunique = {is_unique} AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
  AND m.amname = 'btree' AND i.indnatts = i.indnkeyatts AND i.indnatts = cardinality({columns})
  AND (SELECT bool_and(a.attname = split_part(w.name, ' ', 1) AND o.opcdefault AND k.options = 0
      AND k.collated = CASE WHEN strpos(w.name, ' COLLATE "C"') > 0 THEN 'pg_catalog."C"'::regcollation
        ELSE a.attcollation END)
    FROM unnest(i.indkey::int2[], i.indcollation::oid[], i.indclass::oid[], i.indoption::int2[])
      WITH ORDINALITY AS k (attnum, collated, class, options, n)
    JOIN unnest({columns}) WITH ORDINALITY AS w (name, n) ON w.n = k.n JOIN pg_opclass o ON o.oid = k.class
    LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum))""",
)
"""Each column has its own collation, or C where the contract says so, ascending order, and the default operators
of its type. A DEFERRABLE index does not count: ON CONFLICT cannot use it."""
EXISTS = Question(
    "aoc_has_constraint",
    (("relation", "text"), ("name", "text")),
    "EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass({relation}) AND conname = {name})",
)
UNPROVEN = Question(
    "aoc_has_unproven",
    (("relation", "text"), ("name", "text")),
    "EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass({relation}) AND conname = {name} "
    "AND NOT convalidated)",
)
NULLABLE = Question(
    "aoc_nullable",
    (("relation", "text"), ("columns", "text[]")),
    "EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass({relation}) "
    "AND a.attname = ANY ({columns})\n"
    "  AND (NOT a.attnotnull OR EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = a.attrelid "
    "AND c.contype = 'n'\n    AND a.attnum = ANY (c.conkey) AND NOT c.convalidated)))",
)
"""``attnotnull`` is not enough in PostgreSQL 18: a NOT NULL constraint that is NOT VALID sets it as well."""
CANNOT_EXECUTE = Question(
    "aoc_somebody_cannot_execute",
    (("relation", "text"), ("function", "text")),
    "NOT has_function_privilege('public', to_regprocedure({function}), 'EXECUTE') AND EXISTS (\n"
    "  SELECT FROM pg_roles r WHERE NOT has_function_privilege(r.oid, to_regprocedure({function}), 'EXECUTE')\n"
    "  AND NOT starts_with(rolname, 'pg_')\n"
    "  AND (has_any_column_privilege(r.oid, to_regclass({relation}), 'INSERT') "
    "OR has_any_column_privilege(r.oid, to_regclass({relation}), 'UPDATE')))",
)
"""PostgreSQL's own roles are left out: the members of pg_write_all_data are listed themselves."""
KEPT = Question(
    "aoc_function_is_kept",
    (("relation", "text"), ("function", "text"), ("digest", "text")),
    f"""(SELECT CASE WHEN NOT ({FUNCTION.body}) THEN NULL
    WHEN users IS NOT NULL THEN 'something else uses it (' || users || ')'
    WHEN NOT (SELECT pg_has_role(proowner, 'USAGE') FROM pg_proc WHERE oid = to_regprocedure({{function}}))
      THEN 'we cannot act as the role that owns it' END
  FROM (SELECT string_agg(pg_describe_object(classid, objid, objsubid), ', ' ORDER BY classid, objid)
    FROM pg_depend WHERE refclassid = 'pg_proc'::regclass AND refobjid = to_regprocedure({{function}})
  ) AS used (users))""",
    "text",
)
"""Why our function cannot be dropped; NULL where it can, or is not ours."""
QUESTIONS = (CONSTRAINT, FUNCTION, INDEX, EXISTS, UNPROVEN, NULLABLE, CANNOT_EXECUTE, KEPT)


def constraint_is_ours(table: Relation, check: Check) -> str:
    """Return the condition that ``check`` is on ``table``, made by a revision and unchanged."""
    return CONSTRAINT.ask(table, literal(check.name), literal(check.signature))


def constraint_exists(table: Relation, name: str) -> str:
    """Return the condition that ``table`` has a constraint of this name."""
    return EXISTS.ask(table, literal(name))


def constraint_is_unproven(table: Relation, name: str) -> str:
    """Return the condition that ``table`` has a constraint of this name that is NOT VALID."""
    return UNPROVEN.ask(table, literal(name))


def function_exists(table: Relation, check: Check) -> str:
    """Return the condition that a function with the name and arguments of that of ``check`` exists."""
    return f"to_regprocedure({literal(named(Schema(table.schema), check))}) IS NOT NULL"


def function_is_ours(table: Relation, check: Check) -> str:
    """Return the condition that the function of ``check`` is the contract's, and its owner is trusted."""
    return FUNCTION.ask(table, literal(named(Schema(table.schema), check)), literal(check.function_digest))


def cannot_execute(table: Relation, check: Check) -> str:
    """Return the condition that a role may write to the table, but may not run the function of ``check``."""
    return CANNOT_EXECUTE.ask(table, literal(named(Schema(table.schema), check)))


def function_is_kept(table: Relation, check: Check) -> str:
    """Return an SQL text: why the function of ``check`` cannot be dropped; NULL where it can."""
    return KEPT.ask(table, literal(named(Schema(table.schema), check)), literal(check.function_digest))


def index_is_ours(table: Relation, name: Relation, index: Index) -> str:
    """Return the condition that ``name`` is ``index`` of the contract on ``table``; it may be unfinished."""
    columns = ", ".join(literal(column) for column in index.columns)
    return INDEX.ask(table, name.literal, str(index.unique).lower(), f"ARRAY[{columns}]")


def exists(relation: Relation) -> str:
    """Return the condition that a relation of this name exists."""
    return f"to_regclass({relation.literal}) IS NOT NULL"


def index_is_invalid(table: Relation, index: Relation) -> str:
    """Return the condition that ``index`` is an INVALID index of ``table``."""
    return (
        f"EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass({index.literal}) "
        f"AND indrelid = to_regclass({table.literal}) AND NOT (indisvalid AND indisready AND indislive))"
    )


MAINTAINING = "ShareUpdateExclusiveLock"
"""The lock of CREATE and DROP INDEX CONCURRENTLY, VACUUM and ANALYZE, as pg_locks writes it."""


def maintaining(table: Relation) -> str:
    """Return an SQL text: which other sessions may be building an index of ``table``; NULL if none may.

    They hold the lock `MAINTAINING`, or are `committing`.
    """
    locked = (
        f"relation = to_regclass({table.literal}) AND mode = '{MAINTAINING}' "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return _holders(f"({locked} OR {_COMMITS.format(table.literal)})")


def committing(table: Relation) -> str:
    """Return an SQL text: which other sessions have yet to commit an index of ``table``; NULL if none has.

    A build gives up its lock before the commit that makes the index valid, and that may wait for a standby
    (PostgreSQL source, DefineIndex). Until then, its transaction has changed the index's row.
    """
    return _holders(_COMMITS.format(table.literal))


_COMMITS = "transactionid IN (SELECT xmax FROM pg_index WHERE indrelid = to_regclass({}))"


def _holders(condition: str) -> str:
    return (
        "(SELECT string_agg(DISTINCT coalesce('pid ' || pid, 'a prepared transaction'), ', ') FROM pg_locks "
        f"WHERE {condition} AND granted AND pid IS DISTINCT FROM pg_backend_pid())"
    )


def nullable(table: Relation, columns: Iterable[str]) -> str:
    """Return the condition that one of ``columns`` may hold NULL."""
    return NULLABLE.ask(table, literal(f"{{{','.join(columns)}}}"))


def unproven_not_null(table: Relation, columns: Iterable[str]) -> str:
    """Return the condition that the NOT NULL of one of ``columns`` is NOT VALID, as PostgreSQL 18 allows."""
    listed = literal(f"{{{','.join(columns)}}}")
    return (
        "EXISTS (SELECT FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1] "
        f"WHERE conrelid = to_regclass({table.literal}) AND contype = 'n' AND NOT convalidated "
        f"AND attname = ANY ({listed}))"
    )


def column_exists(table: Relation, column: str) -> str:
    """Return the condition that ``table`` has this column."""
    return (
        f"EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass({table.literal}) "
        f"AND attname = {literal(column)} AND NOT attisdropped)"
    )
