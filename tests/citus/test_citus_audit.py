"""The audit of dirty rows on a Citus cluster finds, counts and names them as on one server."""

import re

from aoc_migrate.contract.v1 import ADVISORY_RAW
from aoc_migrate.inspect.duplicates import duplicates_and_nulls
from aoc_migrate.inspect.temp_files import audit_sorts
from tests.conftest import Aoc, Database
from tests.helpers import fill
from tests.test_audit_rows import CASES, HASH, each_alone
from tests.test_scans import session_of


def nullable(database: Database) -> set[str]:
    """Return the columns that may be NULL: those of the key may not."""
    rows = database.rows(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attnotnull",
        (database.table,),
    )
    return {name for (name,) in rows}


def test_each_broken_rule_is_found_alone(shaped: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """Each rule that rows break is the only finding, with a count of all its rows, a sample, and a statement."""
    may = nullable(shaped)
    storable = [
        case._replace(values=tuple(v for v in case.values if v is not None or case.column in may))
        for case in CASES
    ]

    each_alone(shaped, [case for case in storable if case.values], aoc, **retrofit)


def test_duplicates_of_every_tenant_are_counted(shaped: Database, aoc: Aoc) -> None:
    """Duplicates are counted in groups and rows over all shards; the largest groups are shown first."""
    for group, rows in {"a": 2, "b": 4, "c": 3, "d": 1}.items():
        for n in range(rows):
            shaped.add(f"{group}{n}", upstream_id=group, content_hash=HASH, tenant=group.upper())
    shaped.add("null", upstream_id=None, content_hash=HASH)
    shaped.add("null too", upstream_id=None, content_hash=HASH)

    ran = aoc.json("audit", "--limit", "2")

    finding = ran.finding("duplicate-key")
    assert (finding["count"], finding["rows"], finding["code"]) == (3, 9, "ERR_AOC_003")
    same = {"source_vendor": "osv", "content_hash": HASH}
    assert finding["sample"] == [
        {"tenant": "B", "upstream_id": "b", "count": 4, "ids": ["b0", "b1", "b2", "b3"]} | same,
        {"tenant": "C", "upstream_id": "c", "count": 3, "ids": ["c0", "c1", "c2"]} | same,
    ]
    assert {row[2]: row[4] for row in shaped.rows(finding["statement"])} == {"a": 2, "b": 4, "c": 3}
    assert (ran.finding("null-key")["rows"], ran.finding("null-key")["count"]) == (2, 2)
    assert ran.report["facts"]["duplicates_by_vendor"] == [{"source_vendor": "osv", "groups": 3, "rows": 9}]


def test_forbidden_keys_are_named(shaped: Database, aoc: Aoc) -> None:
    """Finding and sample name the keys to remove, the sample each row's own."""
    shaped.add("1", source={"cvss": 1, "vendor": "osv", "severity": 2}, tenant="a")
    shaped.add("2", source={"cvss": 1, "effective_x": 1}, upstream_id="b", tenant="b")

    ran = aoc.json("audit")

    forbidden, derived = ran.finding("forbidden-key"), ran.finding("derived-key")
    assert "(cvss, severity)" in forbidden["problem"]
    assert forbidden["sample"] == [{"id": "1", "keys": ["cvss", "severity"]}, {"id": "2", "keys": ["cvss"]}]
    assert derived["sample"] == [{"id": "2", "keys": ["effective_x"]}]


def test_only_candidates_leave_their_shards(distributed: Database) -> None:
    """The coordinator needs room for duplicates, not for every row."""
    fill(distributed, 5000)
    distributed.add("r1 again", upstream_id="CVE-0", content_hash="sha256:1")
    query = duplicates_and_nulls(ADVISORY_RAW, "public.advisory_raw", column="tenant")

    ran = distributed.rows(f"EXPLAIN (ANALYZE) {query}", (200,))

    sizes = re.findall(r"Intermediate Data Size: (\d+) bytes", "".join(line for (line,) in ran))
    assert sizes
    assert sum(map(int, sizes)) < 1000


def test_no_sort_of_all_shards_is_tried(distributed: Database) -> None:
    """It stops nothing if the coordinator's temp_file_limit is too low for all rows: only shards sort them."""
    fill(distributed, 40_000)
    indexes = (ADVISORY_RAW.idempotency_index(), ADVISORY_RAW.chain_index())

    with session_of(distributed) as session:
        session.run("SET temp_file_limit = '1MB'")
        session.run("SET maintenance_work_mem = '1MB'")
        found = list(audit_sorts(session, ADVISORY_RAW, indexes, chain=True))

    assert found == []


def test_any_number_of_broken_rows_is_counted(distributed: Database, aoc: Aoc) -> None:
    """A limit of Citus on intermediate results does not stop the audit of a table whose rows all break a rule."""
    fill(distributed, 3000)
    distributed.run(
        f"ALTER DATABASE {distributed.connection.info.dbname} SET citus.max_intermediate_result_size = '20kB'"
    )

    ran = aoc.json("audit")

    assert ran.finding("content-hash-format")["rows"] == 3000, ran.out
