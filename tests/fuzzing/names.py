"""Names: of the database, the schema, the role, the tenant and other columns, with anything in them."""

from typing import Any

import psycopg
from hypothesis import strategies as st
from psycopg import sql

from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint
from tests.fuzzing.json_texts import ANY
from tests.fuzzing.place import Place, commands, legacy, passes
from tests.helpers import psql

MOST = 63  # bytes of a name
HOSTILE = st.sampled_from(
    [
        *(
            'a"b',
            "a'b",
            "a\nb",
            "a\rb",
            "a%sb",
            "%(x)s",
            "a{b}",
            "a\\b",
            "$$",
            "$1",
            "$x$",
            "select",
            " ",
            "a.b",
            '"',
        ),
        *(
            "''",
            "--",
            "/*",
            "*/",
            ":x",
            ":'x'",
            "\x1b[31m",
            "Ünï",
            "漢字",
            "x" * MOST,
            "漢" * 21,
            "A",
            "\u202e",
            "@",
            "?",
        ),
        *("null", "a=b", "a b", "#", "=", "\\.", "{{ x }}", "{% x %}", "|", "`", "<b>", "&amp;", "\t"),
    ]
)


def _fits(name: str) -> bool:
    return 0 < len(name.encode()) <= MOST and not name.startswith("pg_") and name not in ("public", "none")


NAMES = HOSTILE | st.text(ANY, min_size=1, max_size=20).filter(_fits)
EXAMPLES = st.fixed_dictionaries(
    {
        **dict.fromkeys(["database", "schema", "role", "column"], st.just("plain") | NAMES),
        "tenant": NAMES.filter(lambda name: bool(name.strip())),
        "by_script": st.booleans(),
    }
)


def check(place: Place, example: dict[str, Any]) -> None:
    """A database of any names is upgraded, verified and taken back to where it was."""
    if "$aoc" in example["schema"] or example["column"] in ("id", "tenant"):
        return
    name, role = f"{example['database']}"[:MOST], example["role"]
    with place.connect() as admin:
        taken = "SELECT FROM pg_database WHERE datname = %s UNION ALL SELECT FROM pg_roles WHERE rolname = %s"
        if admin.execute(taken, [name, role]).fetchone():
            return
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN SUPERUSER PASSWORD 's'").format(sql.Identifier(role)))
    try:
        place.create("template0", name)
        with psycopg.connect(place.url, dbname=name, user=role, password="s", autocommit=True) as connection:
            walk(Database(connection, "advisory_raw", "concelier"), example)
    finally:
        place.drop(name)
        with place.connect() as admin:
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def walk(database: Database, example: dict[str, Any]) -> None:
    """Go up and down in a schema with that name, with other columns of that name."""
    schema, column = sql.Identifier(example["schema"]), sql.Identifier(example["column"])
    database.run(sql.SQL("CREATE SCHEMA {}").format(schema))
    database.run(sql.SQL("SET search_path = {}").format(schema))
    legacy(database)
    for table in ("advisory_raw", "advisory"):
        database.run(sql.SQL("ALTER TABLE {} ADD {} text DEFAULT 'x'").format(sql.Identifier(table), column))
        database.run(sql.SQL("GRANT SELECT ({}) ON {} TO PUBLIC").format(column, sql.Identifier(table)))
    for n in range(3):
        database.add(f"{example['tenant']}{n}", tenant=example["tenant"])
    aoc = commands(database, CONCELIER_DATABASE_SCHEMA=example["schema"])
    before = fingerprint(database.connection, example["schema"])
    audited = passes(aoc, "audit")
    assert audited.report["schema"] == example["schema"]

    go(database, aoc, *["base:head", "-v", "retrofit=1"] if example["by_script"] else ["upgrade", "concelier"])
    passes(aoc, "verify", "concelier", "--tenant", example["tenant"])
    for command in ("verify", "status", "history", "chain", "quarantine", "dedupe", "repair"):
        passes(aoc, command)
    go(database, aoc, *["concelier_0008:base"] if example["by_script"] else ["downgrade", "concelier", "base"])

    assert fingerprint(database.connection, example["schema"]) == before
    assert database.rows("SELECT supersedes FROM advisory_raw") == [(None,)] * 3


def go(database: Database, aoc: Aoc, way: str, *words: str) -> None:
    """Go up or down: with the command, or with the script that it prints for ``FROM:TO``."""
    if ":" not in way:
        passes(aoc, way, *words)
        return
    printed = aoc("plan", "concelier", way, "--sql")
    assert printed.exit_code == 0, printed.err
    ran = psql(database, printed.out, *words)
    assert ran.exit_code == 0, ran.err
