"""The contract's rules: the inline form, the function and an oracle in Python agree on rows of every kind."""

import json
import random
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from aoc_migrate.contract.v1 import ADVISORY_RAW, VEX_RAW
from tests import adversary
from tests.adversary import BLANKS, Row, faults
from tests.conftest import Aoc, Database
from tests.fuzzing.predicates import COLUMNS, NAMES, compare, drawn, fill


@pytest.fixture
def excititor_at_head(excititor: Database, aoc: Aoc) -> Database:
    """A database at head."""
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0
    return excititor


def test_predicate_function_and_oracle_agree(excititor_at_head: Database) -> None:
    """On 20,000 adversarial rows predicate and function are true or false, never NULL or an error, as we say."""
    rows = drawn(20_000, seed=15)
    fill(excititor_at_head.connection, rows)

    compare(excititor_at_head.connection, rows)

    broken = [sum(rule in faults(row) for row in rows) for rule in NAMES]
    assert all(1_000 < number < 15_000 for number in broken), broken


DATABASES = {
    "C": "LOCALE 'C'",
    "C.UTF-8": "LOCALE 'C.UTF-8'",
    "en_US.utf8": "LOCALE 'en_US.utf8'",
    "tr_TR.utf8": "LOCALE 'tr_TR.utf8'",
    "builtin": "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'",
    "icu": "LOCALE_PROVIDER icu ICU_LOCALE 'und' LOCALE 'C.UTF-8'",
}

ABSENT = (
    psycopg.errors.WrongObjectType,
    psycopg.errors.FeatureNotSupported,
    psycopg.errors.InvalidParameterValue,
    psycopg.errors.SyntaxError,
)


@pytest.fixture(params=DATABASES)
def each_collation_at_head(
    request: pytest.FixtureRequest, excititor: Database, aoc: Aoc
) -> Iterator[psycopg.Connection[Any]]:
    """A database at head in each collation that the server has; its raw table is excititor's."""
    name = f"elsewhere_{excititor.connection.info.backend_pid}"
    words = f"ENCODING 'UTF8' {DATABASES[request.param]} TEMPLATE template0"
    try:
        excititor.run(f"CREATE DATABASE {name} {words}")
    except ABSENT as error:
        pytest.skip(f"this server cannot make a database with {request.param}: {error}".strip())
    url = excititor.url.rpartition("/")[0] + f"/{name}"
    try:
        aoc.environment["EXCITITOR_DATABASE_URL"] = url
        ran = aoc("upgrade")
        assert ran.exit_code == 0, ran.out
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection
    finally:
        excititor.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.alike
def test_the_answers_are_the_same_in_every_collation(each_collation_at_head: psycopg.Connection[Any]) -> None:
    """The answers are the same whatever the database's collation is, and its provider."""
    rows = drawn(6_000, seed=16)
    fill(each_collation_at_head, rows)

    compare(each_collation_at_head, rows)


def test_nondeterministic_columns_change_no_answer(excititor: Database, excititor_at_head: Database) -> None:
    """Columns whose collation takes different texts for equal raise nothing and change no answer."""
    try:
        excititor_at_head.run(
            "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level1', deterministic = false)"
        )
    except ABSENT as error:
        pytest.skip(f"this server has no ICU, so no nondeterministic collation: {error}".strip())
    rows = drawn(6_000, seed=17)
    fill(excititor_at_head.connection, rows, "loose")

    compare(excititor_at_head.connection, rows)
    excititor_at_head.run(
        'ALTER TABLE drawn ALTER tenant TYPE text COLLATE "C"'
    )  # the call has no collation of its own now
    compare(excititor_at_head.connection, rows)


def test_a_nondeterministic_hash_can_be_audited(excititor: Database, aoc: Aoc) -> None:
    """The format of a content_hash is judged, whatever the collation of its column takes for equal."""
    try:
        excititor.run("CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level1', deterministic = false)")
    except ABSENT as error:
        pytest.skip(f"this server has no ICU, so no nondeterministic collation: {error}".strip())
    excititor.run("ALTER TABLE vex_raw ALTER content_hash TYPE text COLLATE loose")
    excititor.add("good", content_hash=f"sha256:{'0' * 64}")
    excititor.add("bad", content_hash=f"SHA256:{'0' * 63}a")
    aoc.configure(excititor)

    ran = aoc.json("audit")

    assert (ran.exit_code, ran.finding("content-hash-format")["rows"]) == (0, 1)


def test_both_tables_have_the_same_rules() -> None:
    """The two raw tables differ in nothing but their name."""
    pairs = list(zip(ADVISORY_RAW.checks(), VEX_RAW.checks(), strict=True))
    assert [a.predicate for a, _ in pairs] == [b.predicate for _, b in pairs]
    assert [a.types for a, _ in pairs] == [b.types for _, b in pairs]


AUDITED = {
    "missing-required",
    "blank-key",
    "key-too-long",
    "time-not-finite",
    "not-an-object",
    "forbidden-key",
    "derived-key",
}
PUT = sql.SQL("INSERT INTO {} ({}) VALUES ({})")


def insert(database: Database, row: Row) -> None:
    """Insert a row as it is."""
    names = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
    marks = sql.SQL(", ").join([sql.Placeholder()] * len(COLUMNS))
    database.run(PUT.format(sql.Identifier(database.table), names, marks), [row[c] for c in COLUMNS])


def rejected(database: Database, row: Row) -> bool:
    """Try to insert a row."""
    try:
        insert(database, row)
    except psycopg.errors.IntegrityError:
        return True
    return False


def test_audited_rows_are_the_rejected_rows(concelier: Database, excititor: Database, aoc: Aoc) -> None:
    """The rows that the audit names are those that the migrated table rejects, and no others."""
    by = random.Random(18)
    rows = [adversary.row(by, 3) for _ in range(400)]
    for n, row in enumerate(rows):
        row["id"] = f"{row['id']}{n}" if row["id"].strip(BLANKS) else row["id"] + " " * n
        row["content_hash"] = row["content_hash"] and row["content_hash"] + " " * n
    aoc.configure(concelier)
    assert aoc("upgrade").exit_code == 0
    for row in rows:
        insert(excititor, row)

    audited = aoc.json("audit", "--limit", "1000", EXCITITOR_DATABASE_URL=excititor.url, CONCELIER_DATABASE_URL="")
    refused = {row["id"] for row in rows if rejected(concelier, row)}

    findings = audited.report["findings"]
    named = {sample["id"] for f in findings if f["slug"] in AUDITED for sample in f["sample"]}
    assert {f["slug"] for f in findings} >= AUDITED
    assert named == refused == {row["id"] for row in rows if faults(row)}
    assert 100 < len(named) < 300, json.dumps(len(named))
