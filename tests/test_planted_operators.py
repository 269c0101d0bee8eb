"""A hostile schema first in the service's path: nothing planted in it runs when the service writes."""

import re
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.conftest import Aoc, Database

pytestmark = pytest.mark.every_postgres

TYPES = ["text", "jsonb", "int4", "bool", "timestamptz", "text[]"]
BARE = [
    "=",
    "<>",
    "<",
    ">",
    "<=",
    ">=",
    "~",
    "~*",
    "!~",
    "~~",
    "||",
    "-",
    "+",
    "->",
    "->>",
    "?",
    "?|",
    "@>",
    "@?",
    "@@",
]
FUNCTIONS = {"jsonb_typeof", "coalesce", "least", "greatest", "btrim", "length", "texteq", "jsonb_path_exists"}
RESULTS = {"||": "left", "-": "left", "+": "left", "->": "jsonb", "->>": "text"}
PATHS = ["evil, pg_catalog", "evil, public, pg_catalog", "evil"]
PLANT = """
CREATE FUNCTION evil.{name}({arguments}) RETURNS {result} LANGUAGE plpgsql AS $evil$
BEGIN
  RAISE NOTICE 'planted {what}';
  INSERT INTO evil.ran VALUES ({quoted});
  RETURN {answer};
END $evil$
"""
GOOD = {"id_": "good"}
BAD: dict[str, tuple[dict[str, object], str]] = {
    "blank": ({"tenant": "\u00a0\u3000"}, "keys"),
    "empty": ({"content_hash": ""}, "keys"),
    "blank next to ~": ({"tenant": "~a", "source_vendor": "\t"}, "keys"),
    "too long": ({"upstream_id": "x" * 2700}, "keys"),
    "never": ({"retrieved_at": "infinity"}, "keys"),
    "forbidden": ({"source": {"severity": 1}}, "objects"),
    "derived": ({"linkset": {"effective_x": 1}}, "objects"),
    "an array": ({"upstream": Jsonb(["severity"])}, "objects"),
    "a scalar": ({"identifiers": Jsonb(5)}, "objects"),
    "the content": ({"content": {"raw": 1, "cvss": 1}}, "content"),
    "JSON null": ({"content": Jsonb(None)}, "content"),
}


def bodies(database: Database) -> str:
    """Return the bodies of all our functions."""
    found = database.rows(
        "SELECT prosrc FROM pg_proc WHERE proname ~ '_ok_v1$' AND pronamespace = 'public'::regnamespace"
    )
    return "\n".join(body for (body,) in found)


def answer(result: str) -> str:
    """Return a value of a type that would let a bad row through, or break a good one."""
    return {"bool": "true", "int4": "1", "text": "'x'", "jsonb": "'{}'", "timestamptz": "now()", "text[]": "'{}'"}[
        result
    ]


def plant(database: Database) -> int:
    """Plant every operator, function, cast and type that a body could mean; return how many there are."""
    database.run("DROP SCHEMA IF EXISTS evil CASCADE; CREATE SCHEMA evil; CREATE TABLE evil.ran (what text)")
    database.run("GRANT USAGE ON SCHEMA evil TO PUBLIC; GRANT INSERT ON evil.ran TO PUBLIC")
    text = bodies(database)
    operators = sorted({*re.findall(r"OPERATOR\(pg_catalog\.([^)]+)\)", text), *BARE})
    functions = sorted({*re.findall(r"pg_catalog\.(\w+)\(", text), *FUNCTIONS})
    assert {">=", "<", "=", "+", ">", "||", "-"} <= set(operators)
    assert {"btrim", "octet_length", "isfinite", "jsonb_path_match"} <= set(functions)
    made = 0
    for n, operator in enumerate(operators):
        made += plant_operator(database, n, operator)
    for name in functions:
        made += plant_function(database, name)
    for name in ("text", "jsonb", "int4", "bool", "timestamptz", "jsonpath"):
        database.run(f"CREATE DOMAIN evil.{name} AS pg_catalog.text CHECK (VALUE = 'never')")
        made += 1
    database.run('CREATE COLLATION evil."C" FROM pg_catalog."C"')
    return made


def plant_operator(database: Database, n: int, operator: str) -> int:
    """Plant an operator for every pair of types."""
    pairs = [(left, right) for left in TYPES for right in TYPES]
    for m, (left, right) in enumerate(pairs):
        result = {"left": left}.get(RESULTS.get(operator, "bool"), RESULTS.get(operator, "bool"))
        what = f"{left} {operator} {right}"
        put(database, f"o{n}_{m}", f"{left}, {right}", result, what)
        database.run(
            f"CREATE OPERATOR evil.{operator} (FUNCTION = evil.o{n}_{m}, LEFTARG = {left}, RIGHTARG = {right})"
        )
    return len(pairs)


def plant_function(database: Database, name: str) -> int:
    """Plant a function of one to four arguments of each type."""
    shapes = [*TYPES, "text, text", "jsonb, jsonpath", "jsonb, jsonpath, jsonb, bool"]
    for shape in shapes:
        result = "int4" if name in ("octet_length", "length") else "text" if name == "btrim" else "bool"
        put(database, f'"{name}"', shape, result, f"{name}({shape})")
    return len(shapes)


def put(database: Database, name: str, arguments: str, result: str, what: str) -> None:
    """Create one function that leaves a trace and returns what helps a bad row."""
    quoted = "'" + what.replace("'", "''") + "'"
    what = what.replace("%", "%%").replace("'", "''")
    database.run(
        PLANT.format(
            name=name, arguments=arguments, result=result, what=what, quoted=quoted, answer=answer(result)
        )
    )


@pytest.fixture
def service_url(concelier: Database, aoc: Aoc) -> Iterator[str]:
    """The URL of an ordinary role that may write to the raw table at head, with everything planted."""
    aoc.configure(concelier)
    assert aoc("upgrade").exit_code == 0
    assert plant(concelier) > 500
    role = f"service_{concelier.connection.info.backend_pid}"
    concelier.run(f"CREATE ROLE {role} LOGIN PASSWORD 'p'")
    concelier.run(f"GRANT INSERT, UPDATE, SELECT, DELETE ON advisory_raw TO {role}")
    yield role
    concelier.run(f"DROP OWNED BY {role}; DROP ROLE {role}")


def as_service(database: Database, role: str, path: str, notices: list[str]) -> Database:
    """Open a new connection as the service, with a path."""
    url = database.url_as(role, "p")
    connection = psycopg.connect(url, autocommit=True, options=f"-c search_path={path.replace(' ', '')}")
    connection.add_notice_handler(lambda diagnostic: notices.append(str(diagnostic.message_primary)))
    return Database(connection, "public.advisory_raw", "concelier")


@pytest.mark.parametrize("path", PATHS)
def test_a_services_write_runs_nothing_planted(path: str, concelier: Database, service_url: str) -> None:
    """Each bad row is refused by its own constraint, each good one is stored, and no planted function ran."""
    notices: list[str] = []
    for n, (values, rule) in enumerate(BAD.values()):
        session = as_service(concelier, service_url, path, notices)
        with session.connection:
            for rows in (values, values):  # the second time plpgsql has a plan
                with pytest.raises(psycopg.errors.CheckViolation) as refused:
                    insert(session, f"bad {n}", rows)
                assert refused.value.diag.constraint_name == f"advisory_raw_{rule}_v1"
            insert(session, f"good {n}", {"upstream_id": "~ \u3000", "content_hash": f"h{n}"})
            with pytest.raises(psycopg.errors.CheckViolation) as refused:
                update(session, f"good {n}", values)
            assert refused.value.diag.constraint_name == f"advisory_raw_{rule}_v1"
            update(session, f"good {n}", {"source": Jsonb({"x": {"severity": 1}}), "tenant": "other"})

    assert concelier.rows("SELECT what FROM evil.ran") == []
    assert notices == []
    assert concelier.value("SELECT count(*) FROM public.advisory_raw WHERE tenant = 'other'") == len(BAD)


def insert(session: Database, id_: str, values: dict[str, object]) -> None:
    """Insert a row by name, with the schema of the table, and every parameter typed by its column."""
    row = {
        "id": id_,
        "tenant": "default",
        "source_vendor": "osv",
        "upstream_id": "CVE-1",
        "content_hash": "h",
        "retrieved_at": "2025-01-01T00:00:00Z",
        "source": {},
        "upstream": {},
        "linkset": {},
    } | values
    adapted = [Jsonb(v) if isinstance(v, dict) else v for v in row.values()]
    marks = ", ".join(["%s"] * len(row))
    session.run(f"INSERT INTO public.advisory_raw ({', '.join(row)}) VALUES ({marks})", adapted)


def update(session: Database, id_: str, values: dict[str, object]) -> None:
    """Change a row, found by its id."""
    adapted = [Jsonb(v) if isinstance(v, dict) else v for v in values.values()]
    sets = ", ".join(f"{name} = %s" for name in values)
    same = "OPERATOR(pg_catalog.=) %s::pg_catalog.text"
    session.run(f"UPDATE public.advisory_raw SET {sets} WHERE id {same}", [*adapted, id_])


def test_the_trap_catches_an_unqualified_operator(concelier: Database, service_url: str) -> None:
    """An operator without its schema, in the same place, does run what is planted: the test above can fail."""
    concelier.run(
        "CREATE FUNCTION naive(tenant text) RETURNS bool LANGUAGE plpgsql IMMUTABLE "
        "AS 'BEGIN RETURN tenant <> ''bad'' AND length(tenant) > 0; END'; "
        "ALTER TABLE advisory_raw ADD CHECK (naive(tenant))"
    )
    notices: list[str] = []
    session = as_service(concelier, service_url, PATHS[0], notices)
    with session.connection:
        insert(session, "1", {"tenant": "bad"})

    assert notices
    assert concelier.rows("SELECT what FROM evil.ran")
