"""How often each command reads the whole table: the numbers of its report, against PostgreSQL's own counters."""

from collections import Counter
from collections.abc import Callable

import pytest

from aoc_migrate.report.facts.full_reads import IN_AN_INDEX, FullReads
from aoc_migrate.report.forms import render
from aoc_migrate.report.look import Look, Verbosity
from aoc_migrate.report.model import Report
from aoc_migrate.report.text import text
from tests.conftest import Aoc, Database, Ran
from tests.helpers import fill, scans

ROWS = 500
RULES, LINKS, PROOFS = "row rules and duplicates", "links", "proofs"
PROBE = 1
"""The probe of an upgrade scans for one row, as an example."""


def clean(database: Database, aoc: Aoc, *, linked: bool, rows: int = ROWS) -> None:
    """Store rows that satisfy the contract, in chains of five if links are to be written; no scan is parallel."""
    fill(database, rows)
    alone = "" if linked else ", upstream_id = id"
    database.run(
        f"UPDATE {database.table} SET content_hash = 'sha256:' || encode(sha256(id::bytea), 'hex'), "
        f"created_at = retrieved_at{alone}"
    )
    for setting in ("max_parallel_workers_per_gather", "max_parallel_maintenance_workers"):
        database.run(f"ALTER DATABASE {database.connection.info.dbname} SET {setting} = 0")
    database.run(f"VACUUM ANALYZE {database.table}")
    aoc.configure(database)
    if linked:
        aoc.environment["AOC_ALLOW_SUPERSEDES_RETROFIT"] = "true"


@pytest.fixture(params=["concelier", "excititor"])
def target(request: pytest.FixtureRequest) -> Database:
    """Each target's database in turn."""
    database: Database = request.getfixturevalue(request.param)
    return database


def said(ran: Ran) -> dict[str, int]:
    """Return what a report says of full reads, by what for, changes included; the sum is that of the rest."""
    facts = ran.report["facts"]
    reads: dict[str, int] = facts.get("full_reads_for", {})
    assert facts.get("full_reads", 0) == sum(reads.values())
    return {**reads, **facts.get("full_reads_for_changes", {})}


def reads(database: Database, run: Callable[[], Ran]) -> tuple[dict[str, int], int]:
    """Run a command; return what its report says of full reads, and PostgreSQL's count of scans."""
    before = scans(database)
    ran = run()
    assert ran.exit_code == 0, ran.out + ran.err
    return said(ran), scans(database) - before


CLEAN: dict[str, tuple[bool, list[tuple[str, dict[str, int]]]]] = {
    "links are missing": (
        True,
        [
            ("audit", {RULES: 1}),
            ("plan", {LINKS: 1}),
            ("upgrade", {RULES: 1, LINKS: 1, PROOFS: 2, "index builds": 4, "backfill": 2}),
            ("upgrade", {}),
            ("audit", {}),
            ("status", {}),
            ("verify", {LINKS: 1}),
            ("chain", {LINKS: 1}),
            ("chain --apply", {"backfill": 2}),
            ("plan base", {}),
            ("downgrade base", {}),
        ],
    ),
    "no link is missing": (
        False,
        [
            ("audit", {RULES: 1, LINKS: 1}),
            ("plan", {LINKS: 1}),
            ("upgrade", {RULES: 1, LINKS: 1, PROOFS: 2, "index builds": 4, "backfill": 3}),
            ("upgrade", {}),
            ("verify", {LINKS: 1}),
        ],
    ),
    "step by step": (
        True,
        [
            ("upgrade {}_0003", {"row rules": 1, PROOFS: 1}),
            ("audit", {RULES: 1}),
            ("upgrade {}_0005", {"duplicates": 1, "index builds": 4}),
            ("upgrade {}_0006", {LINKS: 1, "backfill": 2}),
            ("verify", {LINKS: 1}),
            ("upgrade", {"row rules": 1, LINKS: 1, PROOFS: 1}),
        ],
    ),
}


@pytest.mark.alike
@pytest.mark.parametrize("case", CLEAN)
def test_reports_say_how_often_the_table_was_read(case: str, target: Database, aoc: Aoc) -> None:
    """On a clean table, each command reads it as often as is listed here, and its report says so.

    An audit reads it at most twice, and an upgrade, without index builds and backfill, four times.
    """
    linked, commands = CLEAN[case]
    clean(target, aoc, linked=linked)

    for words, expected in commands:
        verb, *more = words.format(target.target).split()
        found, scanned = reads(target, lambda verb=verb, more=more: aoc.json(verb, target.target, *more))  # type: ignore[misc]

        by_key = "backfill" in expected
        probed = PROBE if verb == "upgrade" and expected else 0
        assert (words, found) == (words, expected)
        assert (words, scanned) == (words, sum(expected.values()) - by_key + probed)


def test_every_form_shows_full_reads() -> None:
    """Text with -v and Markdown show full reads and what for in one line, the page has a table of them."""
    facts = FullReads.of(Counter({RULES: 1, PROOFS: 2, "backfill": 2, IN_AN_INDEX: 1}))
    report = Report("excititor", facts=(facts,))

    lines = text("upgrade", [report], Look(verbosity=Verbosity.VERBOSE)).splitlines()
    page = render("html", "upgrade", [report], 0)

    shown = {
        "full reads": "3: row rules and duplicates, proofs (2)",
        "full reads for changes": "2: backfill (2)",
        "full reads of an index": "1: duplicates, in an index",
    }
    assert [" ".join(line.split()) for line in lines[-3:]] == [f"{name} {value}" for name, value in shown.items()]
    markdown = render("markdown", "upgrade", [report], 0)
    assert all(f"| {name} | {value} |" in markdown for name, value in shown.items())
    assert all(f"<caption>excititor: {name}</caption>" in page for name in shown)


def test_what_the_run_has_not_proven_is_verified(excititor: Database, aoc: Aoc) -> None:
    """An upgrade whose backfill ran says when its last scan proved the links; one that only repairs reads them."""
    clean(excititor, aoc, linked=True)
    first = aoc.json("upgrade")
    excititor.run("DROP INDEX vex_raw_chain_v1; UPDATE vex_raw SET supersedes = 'nobody' WHERE id = 'r36'")

    second = aoc.json("upgrade")

    assert first.exit_code == 0
    proven = first.report["facts"]["links_proven_at"]
    assert first.report["started_at"] <= proven <= first.report["ended_at"]
    assert "chain_depths" not in first.report["facts"]
    assert (second.exit_code, second.slugs("error")) == (4, ["chain-broken"])
    assert said(second) == {"index builds": 2, LINKS: 1}
    assert "links_proven_at" not in second.report["facts"]


def test_row_rules_and_duplicates_find_the_same_in_one_scan(excititor: Database, aoc: Aoc) -> None:
    """Broken rules, keys with NULL and duplicates of one scan are those that two scans find."""
    clean(excititor, aoc, linked=True)
    for change in (
        "(upstream_id, content_hash) = ('twin', 'sha256:1') WHERE id IN ('r1', 'r2', 'r300')",
        "source = '{\"severity\": 1}' WHERE id IN ('r2', 'r7')",
        "tenant = NULL WHERE id IN ('r8', 'r9')",
        "tenant = ' ' WHERE id = 'r10'",
    ):
        excititor.run(f"UPDATE vex_raw SET {change}")
    together = aoc.json("audit")
    excititor.run("CREATE INDEX mine ON vex_raw (tenant, source_vendor, upstream_id, content_hash)")
    excititor.run("VACUUM ANALYZE vex_raw")

    apart = aoc.json("audit")

    assert together.report["findings"] == apart.report["findings"]
    found = {f["slug"]: (f["count"], f["rows"]) for f in together.report["findings"]}
    assert found == {
        "blank-key": (1, 1),
        "content-hash-format": (3, 3),
        "duplicate-key": (1, 3),
        "forbidden-key": (2, 2),
        "missing-required": (2, 2),
        "null-key": (2, 2),
    }
    assert said(together) == {
        RULES: 1,
        "rows that break a rule": 1,
        "rows with a duplicate key": 2,
        "rows without a key": 1,
        "duplicates of each vendor": 1,
    }
    assert apart.report["facts"]["full_index_reads"] == {"duplicates, in an index": 1}


@pytest.mark.parametrize("indexed", [False, True], ids=["no index", "an index"])
def test_since_says_if_it_reads_the_whole_table(indexed: bool, excititor: Database, aoc: Aoc) -> None:
    """verify --since reads through an index on created_at; without one it reads the table, and says so."""
    clean(excititor, aoc, linked=True, rows=5000)
    excititor.run("UPDATE vex_raw SET source = jsonb_build_object('stream', repeat('x', 1600))")
    assert aoc("upgrade").exit_code == 0
    excititor.run("UPDATE vex_raw SET created_at = now() WHERE id = 'r37'")
    if indexed:
        excititor.run("CREATE INDEX mine ON vex_raw (created_at)")
    excititor.run("VACUUM ANALYZE vex_raw")

    found, scanned = reads(excititor, lambda: aoc.json("verify", "--since", "24h"))
    ran = aoc.json("verify", "--since", "24h")

    assert (found, scanned) == (({}, 0) if indexed else ({"recent rows": 1}, 1))
    assert ran.report["facts"]["rows"] == 5
    assert ("since-without-index" in ran.slugs("info")) is not indexed
    if not indexed:
        named = ran.finding("since-without-index")["help"]
        assert 'CREATE INDEX CONCURRENTLY ON "public"."vex_raw" (created_at);' in named
