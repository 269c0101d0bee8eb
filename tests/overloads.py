"""Overloads of every function and operator that a transcript of SQL names, made by a role with CREATE on a schema.

Each leaves a trace in the server's log, which no rollback and no read-only transaction prevents.
"""

import itertools
import re

from tests.conftest import Database

TRACE = "planted overload"
INSTEAD = {
    "any": ["text", "int4", "jsonb"],
    "anyelement": ["text", "int4"],
    "anynonarray": ["text"],
    "anycompatible": ["text", "int4"],
    "anyarray": ["text[]", "oid[]"],
    "anycompatiblearray": ["text[]", "oid[]"],
    "name": ["name", "text"],
    "oid": ["oid", "regclass", "int8", "int4"],
    "regclass": ["regclass", "oid", "text"],
    "int8": ["int8", "int4"],
    "int4": ["int4", "int8"],
    "jsonb": ["jsonb", "text"],
    "jsonpath": ["jsonpath", "text"],
    "timestamptz": ["timestamptz", "timestamp"],
    "float8": ["float8", "int4", "numeric"],
    "text": ["text", "name"],
    "char": ['"char"', "text"],
}
"""Types that an argument has as well, or better, than pg_catalog's own."""
VARIANTS = 24  # of one signature at most
OPERANDS = ["text", "name", "oid", "regclass", "int4", "int8", "jsonb", "text[]", "timestamptz", '"char"', "bool"]
SYNTAX = {"=", "<>", "<", ">", "<=", ">=", "~~", "||"}  # what IN, BETWEEN, LIKE, DISTINCT and CASE stand for
BODY = "LANGUAGE plpgsql AS $evil$ BEGIN RAISE LOG '" + TRACE + " {}'; RETURN NULL; END $evil$"


def functions_in(database: Database, transcript: str) -> list[str]:
    """Return the functions of pg_catalog that a transcript calls, or names before a parenthesis."""
    words = {word.lower() for word in re.findall(r"\b([A-Za-z_][A-Za-z0-9_]*)\s*\(", transcript)}
    known = database.rows("SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace")
    return sorted(words & {name for (name,) in known})


def operators_in(database: Database, transcript: str) -> list[str]:
    """Return the operators of pg_catalog that a transcript has, and those behind SQL's syntax."""
    runs = {*re.findall(r"[-+*/<>=~!@#%^&|`?]+", transcript), *SYNTAX}
    known = database.rows(
        "SELECT DISTINCT oprname FROM pg_operator WHERE oprnamespace = 'pg_catalog'::regnamespace"
    )
    return sorted(runs & {name for (name,) in known})


def overloads(database: Database, names: list[str], schema: str = "public") -> dict[str, str]:
    """Return, by signature, the statements that make each function with pg_catalog's arguments and better ones."""
    made = {}
    for name, types, result in database.rows(
        "SELECT proname, ARRAY(SELECT typname::text FROM unnest(proargtypes) WITH ORDINALITY AS a (oid, n) "
        "JOIN pg_type t ON t.oid = a.oid ORDER BY n), CASE WHEN typtype IN ('b', 'd', 'e') "
        "THEN prorettype::regtype ELSE 'text'::regtype END::text "
        "FROM pg_proc p JOIN pg_type t ON t.oid = prorettype "
        "WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY (%s) AND pronargs <= 6",
        [names],
    ):
        choices = [
            INSTEAD.get(type_, [f'"{type_}"'] if type_[0] != "_" else [f"{type_[1:]}[]"]) for type_ in types
        ]
        chosen = list(itertools.islice(itertools.product(*choices), VARIANTS))
        chosen += [(*some, "text") for some in chosen if types[-1:] == ["any"]]  # VARIADIC "any" takes more
        for arguments in chosen:
            signature = f"{name}({', '.join(arguments)})"
            head = f'CREATE FUNCTION {schema}."{name}"({", ".join(arguments)}) RETURNS {result}'
            made[signature] = f"{head} {BODY.format(signature)}"
    return made


def operator_overloads(operators: list[str], schema: str = "public") -> dict[str, str]:
    """Return, by signature, the statements that make each operator for every pair of some types."""
    made = {}
    for n, (left, right) in enumerate(itertools.product(OPERANDS, OPERANDS)):
        for result in ("bool", "text", "jsonb"):
            function = f"evil_{result}_{n}"
            what = f"operator {left} {right}"
            made[function] = (
                f"CREATE FUNCTION {schema}.{function}({left}, {right}) RETURNS {result} {BODY.format(what)}"
            )
        for operator in operators:
            result = {"||": "text", "->>": "text", "->": "jsonb", "-": "jsonb", "#-": "jsonb"}.get(
                operator, "bool"
            )
            made[f"{left} {operator} {right}"] = (
                f"CREATE OPERATOR {schema}.{operator} (FUNCTION = {schema}.evil_{result}_{n}, "
                f"LEFTARG = {left}, RIGHTARG = {right})"
            )
    return made


def plant(neighbour: Database, statements: dict[str, str]) -> int:
    """Run the statements as the neighbour; return how many there are. What cannot be made is left out."""
    quoted = ", ".join("'" + text.replace("'", "''") + "'" for text in statements.values())
    neighbour.run(
        "DO $do$ DECLARE made text; BEGIN FOREACH made IN ARRAY ARRAY[" + quoted + "] LOOP BEGIN EXECUTE made; "
        "EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $do$"
    )
    return int(
        neighbour.value(
            "SELECT (SELECT count(*) FROM pg_proc WHERE proowner = r.oid) + (SELECT count(*) FROM pg_operator "
            "WHERE oprowner = r.oid) FROM pg_roles r WHERE rolname = current_user"
        )
    )
