"""What the audit finds in rows: each broken rule once, counted over all rows, with a statement that finds them."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest
from psycopg.types.json import Jsonb

from tests.conftest import Aoc, Database

HASH = "sha256:" + "0" * 64
OBJECTS = ("source", "upstream", "linkset", "content", "identifiers")
NOT_OF_ROWS = ("swap-dependents", "replication-slot")
"""What an audit may find besides: a slot is the server's, and tests share a cluster."""
REQUIRED = ("source", "upstream", "linkset")
KEYS = ("tenant", "source_vendor", "upstream_id", "content_hash")
FORBIDDEN = (
    "severity",
    "cvss",
    "cvss_vector",
    "merged_from",
    "consensus_provider",
    "reachability",
    "asset_criticality",
    "risk_score",
)
DERIVED = ("effective_status", "effective_range", "effective_", "effective_x y")
VARIANTS = (
    *("Severity", "CVSS", "cvss-vector", "mergedFrom", "RISKSCORE", "effectiveStatus", "EFFECTIVE_RANGE"),
    *("effective-x", "Effective_x"),
)
HARMLESS = ("severities", "xseverity", "effective", "effectively", "score", "risk", "ineffective_x", "")
BAD_HASHES = (
    "md5:0",
    HASH.upper(),
    "sha256:" + "A" * 64,
    HASH + "0",
    f" {HASH}",
    HASH[:-1],
    HASH[7:],
    f"{HASH}\n",
)


Found = dict[tuple[str, str, str | None, str], set[str]]
"""Ids of rows by slug, subject, code and severity."""


class Case(NamedTuple):
    """A column that takes values which break one rule, and the finding that this must make."""

    slug: str
    column: str
    values: tuple[Any, ...]
    code: str | None
    severity: str = "error"


def keyed(keys: tuple[str, ...]) -> tuple[Any, ...]:
    """Return objects that each hold one of the keys."""
    return tuple({"vendor": "osv", key: {"severity": 1}} for key in keys)


CASES = [
    *(Case("missing-required", c, (None,) * 3, "ERR_AOC_004") for c in (*KEYS, "retrieved_at", *REQUIRED)),
    *(Case("missing-required", c, ([], 5, "x", True, [{}], Jsonb(None)), "ERR_AOC_004") for c in REQUIRED),
    *(Case("blank-key", c, ("", " ", "\t\r\n"), "ERR_AOC_004") for c in KEYS),
    *(Case("not-an-object", c, ([], 5, "x", False, [{}], Jsonb(None)), None) for c in ("content", "identifiers")),
    *(Case("forbidden-key", c, keyed(FORBIDDEN), "ERR_AOC_001") for c in OBJECTS),
    *(Case("derived-key", c, keyed(DERIVED), "ERR_AOC_006") for c in OBJECTS),
    *(Case("case-variant-key", c, keyed(VARIANTS), "ERR_AOC_007", "warning") for c in OBJECTS),
    Case("content-hash-format", "content_hash", BAD_HASHES, None, "warning"),
    Case("key-too-long", "upstream_id", ("é" * 1300,), None),
]


def store(database: Database, case: Case) -> set[str]:
    """Store one broken row for each value and return their ids."""
    ids = set()
    for n, value in enumerate(case.values):
        id_ = f"{case.slug} {case.column} {value!r} {n}"
        adapted = Jsonb(value) if case.column in OBJECTS and value is not None else value
        if isinstance(value, Jsonb):
            adapted = value
        database.add(id_, **({"upstream_id": id_, "source": {}} | {case.column: adapted}))
        ids.add(id_)
    return ids


def each_alone(database: Database, cases: Iterable[Case], aoc: Aoc, **environment: str) -> None:
    """Store the rows of ``cases``, and good ones; check that the audit finds each rule, and no other."""
    expected: Found = defaultdict(set)
    for case in cases:
        subject = database.table if case.slug == "key-too-long" else f"{database.table}.{case.column}"
        expected[case.slug, subject, case.code, case.severity] |= store(database, case)
        if case.slug == "missing-required" and case.column in KEYS:
            nulls = expected["null-key", database.table, "ERR_AOC_004", "error"]
            nulls |= expected[case.slug, subject, case.code, case.severity]
    expected["content-hash-format", f"{database.table}.content_hash", None, "warning"] |= expected[
        "blank-key", f"{database.table}.content_hash", "ERR_AOC_004", "error"
    ]
    for column in OBJECTS:
        store(database, Case("harmless", column, keyed(HARMLESS), None))

    ran = aoc.json("audit", "--limit", "2", **environment)

    found: Found = defaultdict(set)
    for finding in ran.report["findings"]:
        if finding["slug"] in NOT_OF_ROWS:
            continue
        ids = {row[0] for row in database.rows(finding["statement"])}
        found[finding["slug"], finding["subject"], finding["code"], finding["severity"]] |= ids
        assert (finding["count"], finding["rows"]) == (len(ids), len(ids))
        assert len(finding["sample"]) == min(2, len(ids))
        assert {row["id"] for row in finding["sample"]} <= ids
    assert ran.exit_code == 1
    assert found == expected


@pytest.mark.parametrize("target", ["concelier", "excititor"])
def test_each_broken_rule_is_found_alone(
    target: str, request: pytest.FixtureRequest, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """Each rule that rows break is the only finding, with a count of all its rows."""
    database: Database = request.getfixturevalue(target)
    aoc.configure(database)

    each_alone(database, CASES, aoc, **retrofit)


def test_warnings_alone_do_not_stop_an_upgrade(concelier: Database, aoc: Aoc) -> None:
    """Where a row is only suspicious, the audit warns and exits 0, and upgrade goes on."""
    for case in CASES:
        if case.severity == "warning":
            store(concelier, case)
    aoc.configure(concelier)

    ran = aoc.json("audit")

    assert (ran.exit_code, ran.slugs("error"), set(ran.slugs("warning"))) == (
        0,
        [],
        {"case-variant-key", "content-hash-format"},
    )
    assert aoc("upgrade").exit_code == 0


def test_an_envelope_mismatch_is_a_warning(concelier: Database, aoc: Aoc) -> None:
    """A scalar key that differs from the field it repeats is a warning; an absent field is not."""
    concelier.add("vendor", source={"vendor": "OSV"})
    concelier.add("empty", source={"vendor": ""}, upstream_id="b")
    concelier.add("upstream id", upstream={"upstream_id": "CVE-2025-0002"}, upstream_id="c")
    concelier.add("hash", upstream={"content_hash": HASH}, upstream_id="d")
    concelier.add("agrees", source={"vendor": "osv"}, upstream={"content_hash": HASH}, content_hash=HASH)
    concelier.add("number", source={"vendor": 5}, source_vendor="5")
    concelier.add("absent", source={"vendor": None}, upstream={"else": 1}, upstream_id="e")
    aoc.configure(concelier)

    ran = aoc.json("audit", AOC_ALLOW_SUPERSEDES_RETROFIT="true")

    found = {
        f["subject"].partition(".")[2]: [row["id"] for row in f["sample"]]
        for f in ran.report["findings"]
        if f["slug"] == "envelope-mismatch"
    }
    assert (ran.exit_code, ran.slugs("error")) == (0, [])
    assert found == {
        "source_vendor": ["empty", "vendor"],
        "upstream_id": ["upstream id"],
        "content_hash": ["hash"],
    }


def test_forbidden_keys_are_named(concelier: Database, aoc: Aoc) -> None:
    """Finding and sample name the keys to remove, the sample each row's own."""
    concelier.add("1", source={"cvss": 1, "vendor": "osv", "severity": 2})
    concelier.add("2", source={"cvss": 1, "effective_x": 1}, upstream_id="b")
    aoc.configure(concelier)

    ran = aoc.json("audit")

    forbidden, derived = ran.finding("forbidden-key"), ran.finding("derived-key")
    assert "(cvss, severity)" in forbidden["problem"]
    assert forbidden["sample"] == [{"id": "1", "keys": ["cvss", "severity"]}, {"id": "2", "keys": ["cvss"]}]
    assert derived["sample"] == [{"id": "2", "keys": ["effective_x"]}]


def test_duplicates_are_counted_in_groups_and_rows(concelier: Database, aoc: Aoc) -> None:
    """Duplicates are counted in groups and rows over everything; --limit shows the largest groups."""
    for group, rows in {"a": 2, "b": 4, "c": 3, "d": 1}.items():
        for n in range(rows):
            concelier.add(f"{group}{n}", upstream_id=group, content_hash=HASH, tenant=group.upper())
    concelier.add("null", upstream_id=None, content_hash=HASH)
    concelier.add("null too", upstream_id=None, content_hash=HASH)
    aoc.configure(concelier)

    ran = aoc.json("audit", "--limit", "2")

    finding = ran.finding("duplicate-key")
    assert (finding["count"], finding["rows"], finding["code"]) == (3, 9, "ERR_AOC_003")
    same = {"source_vendor": "osv", "content_hash": HASH}
    assert finding["sample"] == [
        {"tenant": "B", "upstream_id": "b", "count": 4, "ids": ["b0", "b1", "b2", "b3"]} | same,
        {"tenant": "C", "upstream_id": "c", "count": 3, "ids": ["c0", "c1", "c2"]} | same,
    ]
    assert {row[2]: row[4] for row in concelier.rows(finding["statement"])} == {"a": 2, "b": 4, "c": 3}
    assert (ran.finding("null-key")["rows"], ran.finding("null-key")["count"]) == (2, 2)
