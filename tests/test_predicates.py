"""The contract's predicates against an oracle in Python, row by row, as PostgreSQL itself judges them."""

import json
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aoc_migrate.contract.v1 import ADVISORY_RAW as CONTRACT
from aoc_migrate.contract.v1 import VEX_RAW
from tests.conftest import Aoc, Database

REQUIRED = {
    "tenant",
    "source_vendor",
    "upstream_id",
    "content_hash",
    "retrieved_at",
    "source",
    "upstream",
    "linkset",
}
TEXTS = ["id", "tenant", "source_vendor", "upstream_id", "content_hash"]
OBJECTS = ["source", "upstream", "linkset", "content", "identifiers"]
FORBIDDEN = [
    "severity",
    "cvss",
    "cvss_vector",
    "effective_status",
    "effective_range",
    "merged_from",
    "consensus_provider",
    "reachability",
    "asset_criticality",
    "risk_score",
]
BLANKS = " \t\n\r\f\v"


def faults(row: dict[str, Any]) -> set[str]:
    """Say what the contract has against a row, in words of our own (domain.md, rules 1 and 2)."""
    found = {f"no {column}" for column in REQUIRED if row[column] is None}
    found |= {"blank" for column in TEXTS if row[column] is not None and not row[column].strip(BLANKS)}
    for column in OBJECTS:
        value = row[column]
        if value is None:
            continue
        document = json.loads(value)
        if not isinstance(document, dict) or any(key in FORBIDDEN or key[:10] == "effective_" for key in document):
            found.add(f"{column} keys")
    found |= {f"{column} keys" for column in ("source", "upstream", "linkset") if row[column] is None}
    return found


letters = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=6)
keys = st.one_of(
    st.sampled_from(
        [
            *FORBIDDEN,
            "effective_",
            "effective_x",
            "effective",
            "Severity",
            "SEVERITY",
            "effectiveStatus",
            "severity ",
        ]
    ),
    st.sampled_from(
        ["vendor", "upstream_id", "aliases", "format", "raw", "cve", "signature", "keyvalue", "$", "a.b"]
    ),
    letters,
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(-1, 1), letters)
nested = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=6,
)
documents = st.one_of(
    st.dictionaries(st.sampled_from(["vendor", "raw", "aliases", "format"]), nested, max_size=3),
    st.dictionaries(keys, nested, max_size=4),
    nested,
).map(lambda value: json.dumps(value, ensure_ascii=False))
texts = st.one_of(letters.map(lambda text: f"x{text}"), st.text(BLANKS + "\u00a0\u2003x", max_size=3))
rows = st.fixed_dictionaries(
    {
        **{column: st.one_of(texts, st.none()) for column in TEXTS[1:]},
        "id": texts,
        "retrieved_at": st.sampled_from([None, "2025-01-01T00:00:00Z", "infinity"]),
        **{column: st.one_of(documents, documents, st.none()) for column in OBJECTS},
    }
)
GOOD = {
    **{column: f"a {column}" for column in TEXTS},
    **dict.fromkeys(OBJECTS, "{}"),
    "retrieved_at": "2025-01-01T00:00:00Z",
}
nearly_good = st.builds(
    lambda row, changed: GOOD | {column: row[column] for column in changed},
    rows,
    st.sets(st.sampled_from(sorted(GOOD)), max_size=2),
)
PREDICATES = {
    **{"blank": CONTRACT.blank_check().predicate},
    **{f"{column.name} keys": CONTRACT.object_check(column).predicate for column in CONTRACT.objects},
    **{f"no {column}": f"{column} IS NOT NULL" for column in REQUIRED},
}


def judged(connection: psycopg.Connection[Any], batch: list[dict[str, Any]]) -> list[set[str]]:
    """Return for each row which predicates are not true; raise where one is NULL."""
    given_rows = "jsonb_to_recordset(%s::jsonb) AS r (n int, " + ", ".join(f"{c} text" for c in batch[0]) + ")"
    types = dict.fromkeys(OBJECTS, "jsonb") | {"retrieved_at": "timestamptz"}
    casts = ", ".join(f"{c}::{types.get(c, 'text')}" for c in batch[0])
    answers = ", ".join(f"({predicate})" for predicate in PREDICATES.values())
    numbered = json.dumps([{"n": n, **row} for n, row in enumerate(batch)])
    found = connection.execute(
        f"SELECT {answers} FROM (SELECT n, {casts} FROM {given_rows}) AS t ORDER BY n",
        [numbered],
    ).fetchall()
    assert all(answer is not None for answers in found for answer in answers), "a predicate is NULL"
    return [{name for name, true in zip(PREDICATES, row, strict=True) if not true} for row in found]


@pytest.fixture
def plain(excititor: Database) -> psycopg.Connection[Any]:
    """A connection to evaluate expressions on."""
    return excititor.connection


@settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(batch=st.lists(st.one_of(rows, nearly_good), min_size=10, max_size=30))
def test_predicates_agree_with_the_oracle(plain: psycopg.Connection[Any], batch: list[dict[str, Any]]) -> None:
    """For rows of every shape each predicate is true or false, never NULL or an error, as the oracle says."""
    assert judged(plain, batch) == [faults(row) for row in batch]


def test_both_tables_have_the_same_rules() -> None:
    """The two raw tables differ in nothing but their name."""
    assert [c.predicate for c in CONTRACT.row_checks()] == [c.predicate for c in VEX_RAW.row_checks()]
    assert CONTRACT.document_check().predicate == VEX_RAW.document_check().predicate


AUDITED = {"missing-required", "blank-key", "not-an-object", "forbidden-key", "derived-key"}


PUT = (
    "INSERT INTO {} (id, tenant, source_vendor, upstream_id, content_hash, retrieved_at, "
    "source, upstream, linkset, content, identifiers) "
    "VALUES (%(id)s, %(tenant)s, %(source_vendor)s, %(upstream_id)s, %(content_hash)s, %(retrieved_at)s, "
    "%(source)s, %(upstream)s, %(linkset)s, %(content)s, %(identifiers)s)"
)


@pytest.fixture
def migrated(concelier: Database, aoc: Aoc) -> Database:
    """A database at head."""
    aoc.configure(concelier)
    assert aoc("upgrade").exit_code == 0
    return concelier


def rejected(database: Database, row: dict[str, Any]) -> bool:
    """Try to insert a row."""
    try:
        database.run(PUT.format(database.table), row)
    except psycopg.errors.IntegrityError:
        return True
    return False


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(batch=st.lists(nearly_good, min_size=25, max_size=25))
def test_audited_rows_are_the_rejected_rows(
    batch: list[dict[str, Any]], migrated: Database, excititor: Database, aoc: Aoc
) -> None:
    """The rows that the audit names are those that the migrated table rejects, and no others."""
    for n, row in enumerate(batch):
        row["id"] = f"{n}" if row["id"].strip(BLANKS) else f"{row['id']}{' ' * n}"
        row["content_hash"] = row["content_hash"] and f"{row['content_hash']}{' ' * n}"
    migrated.run("DELETE FROM advisory_raw")
    excititor.run("DELETE FROM vex_raw")
    excititor.connection.cursor().executemany(PUT.format("vex_raw"), batch)

    audited = aoc.json("audit", EXCITITOR_DATABASE_URL=excititor.url, CONCELIER_DATABASE_URL="")
    refused = {row["id"] for row in batch if rejected(migrated, row)}

    findings = audited.report["findings"]
    named = {sample["id"] for f in findings if f["slug"] in AUDITED for sample in f["sample"]}
    assert named == refused == {row["id"] for row in batch if faults(row)}
