"""Rows, bytes and links of a plan are within a factor of two of the fact, whatever state the table is in."""

from typing import Any

import psycopg
import pytest

from aoc_migrate.contract.v1 import VEX_RAW
from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.session import connect
from aoc_migrate.database.targets import Target
from aoc_migrate.inspect import missing_links
from aoc_migrate.inspect.cost import Costs, measure
from aoc_migrate.operations.supersedes.statements import wrong_links
from tests.conftest import Aoc, Database
from tests.helpers import counted
from tests.partitions import partition

ROWS = 30_000  # about 1,900 pages: more than a sample
ANALYZED = "ANALYZE vex_raw"
SHAPES = {
    "many short chains": "'CVE-' || n / 3",
    "few long chains": "'CVE-' || n % 4",
    "single rows": "'CVE-' || n",
    "one long chain among single rows": "'CVE-' || CASE WHEN n % 2 = 0 THEN 0 ELSE n END",
    "the same ids of several tenants and vendors": "'CVE-' || n / 20",
}
"""SQL for the upstream id of row n."""
STATES: dict[str, list[str | tuple[int, int]]] = {
    "never analyzed": [(0, ROWS)],
    "analyzed": [(0, ROWS), ANALYZED],
    "loaded since": [(0, ROWS // 10), ANALYZED, (ROWS // 10, ROWS)],
    "deleted since": [(0, ROWS), ANALYZED, "DELETE FROM vex_raw WHERE substr(id, 2)::int % 5 > 0"],
    "emptied and loaded": ["VACUUM ANALYZE vex_raw", (0, ROWS)],
}
"""What happened to the table: ranges of rows that were loaded, and statements."""
TREE = """
(SELECT 'vex_raw'::regclass AS oid UNION SELECT relid FROM pg_partition_tree('vex_raw') WHERE isleaf) AS tree
"""
FACTS = f"""
SELECT count(*), count(*) - count(DISTINCT (tenant, source_vendor, upstream_id)), min(bytes) FROM vex_raw,
  (SELECT sum(pg_relation_size(oid))::bigint AS bytes FROM {TREE}) AS sizes
"""
INDEXES = f"""
SELECT sum(pg_relation_size(indexrelid)) FROM pg_index JOIN {TREE} ON indrelid = oid
WHERE NOT indisprimary
"""


def load(database: Database, first: int, last: int, upstream: str) -> None:
    """Load rows of five tenants and three vendors, a few hundred bytes each, and report that to the statistics."""
    database.run(
        "INSERT INTO vex_raw (id, tenant, source_vendor, upstream_id, content_hash, retrieved_at, source, "
        "upstream, linkset) SELECT 'r' || n, substr('abcxy', 1 + n % 5, 1), 'vendor-' || n % 3, "
        f"{upstream}, 'sha256:' || encode(sha256(n::text::bytea), 'hex'), timestamptz '2025-01-01' + n * interval "
        "'1 second', '{}', '{}', jsonb_build_object('references', repeat('r', 200)) "
        f"FROM generate_series({first}, {last - 1}) AS n; SELECT pg_stat_force_next_flush()"
    )


@pytest.fixture(params=["one table", "partitions"])
def empty(request: pytest.FixtureRequest, excititor: Database, aoc: Aoc) -> Database:
    """Excititor's database with an empty raw table, partitioned or not, which nothing analyzes by itself."""
    if request.param == "partitions":
        partition(excititor.connection, "vex_raw")
    for (table,) in excititor.rows(
        f"SELECT oid::regclass::text FROM {TREE} JOIN pg_class USING (oid) WHERE relkind = 'r'"
    ):
        excititor.run(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    aoc.configure(excititor)
    return excititor


def plan(database: Database, aoc: Aoc) -> tuple[dict[str, Any], list[str]]:
    """Return the facts of a plan, and the slugs of its findings, once all counters have been reported."""
    counted(database, "SELECT 0")
    ran = aoc.json("plan")
    assert ran.exit_code == 0
    return ran.report["facts"], ran.slugs()


def near(estimated: float, fact: float) -> bool:
    """Whether an estimate is within a factor of two of the fact."""
    return fact / 2 <= estimated <= fact * 2


@pytest.mark.alike
@pytest.mark.parametrize("state", STATES)
def test_rows_and_bytes_are_near_the_fact(state: str, empty: Database, aoc: Aoc) -> None:
    """Rows, bytes and the room for indexes are near the fact; stale statistics are reported with the ANALYZE."""
    for step in STATES[state]:
        if isinstance(step, tuple):
            load(empty, *step, SHAPES["many short chains"])
        else:
            empty.run(step)

    facts, slugs = plan(empty, aoc)

    ((rows, links, table_bytes),) = empty.rows(FACTS)
    assert near(facts["rows_estimated"], rows)
    assert near(facts["links_estimated"], links)
    assert facts["table_bytes"] == table_bytes
    assert slugs == ([] if state == "analyzed" else ["statistics-stale"])
    assert aoc("upgrade", "excititor_0005").exit_code == 0
    assert near(facts["new_indexes_estimated_bytes"], float(empty.value(INDEXES)))


@pytest.mark.alike
@pytest.mark.parametrize("shape", SHAPES)
def test_links_are_near_the_fact(shape: str, empty: Database, aoc: Aoc, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links are estimated over the whole chain key: by a count, through the index, or else only their maximum."""
    load(empty, 0, ROWS // 10, SHAPES[shape])
    ((rows, links, _),) = empty.rows(FACTS)
    by_count = measured(empty)
    monkeypatch.setattr(missing_links, "COUNT_MS", 0)
    unknown = measured(empty)
    assert aoc("upgrade", "excititor_0004").exit_code == 0
    by_index = measured(empty)

    assert by_count.links == missing_links.Links(links, links)
    assert unknown.links == missing_links.Links(None, rows)
    assert by_index.links
    assert near(by_index.links.most, links)


def test_only_missing_links_are_estimated(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are linked already do not count, and rows that are in no chain never do."""
    load(empty, 0, ROWS // 10, SHAPES["few long chains"])
    load(empty, ROWS // 10, ROWS // 5, "NULL")
    empty.run("ALTER TABLE vex_raw ADD supersedes text")
    with connect(Target("excititor", empty.url), "test", Limits(), Flags()) as session:
        right = wrong_links(VEX_RAW, session.schema["vex_raw"])
        empty.run(
            f"UPDATE vex_raw AS raw SET supersedes = expected FROM ({right}) AS found WHERE raw.id = found.id"
        )
    linked = measured(empty)
    empty.run("UPDATE vex_raw SET supersedes = NULL WHERE substr(id, 2)::int % 2 = 0")
    missing = empty.value("SELECT count(*) FROM (" + right + ") AS wrong")
    half = measured(empty)
    monkeypatch.setattr(missing_links, "COUNT_MS", 0)
    bounded = measured(empty)
    empty.run("CREATE INDEX ON vex_raw (upstream_id, tenant, source_vendor)")
    by_index = measured(empty)

    assert linked.links == missing_links.Links(0, 0)
    assert half.links == missing_links.Links(missing, missing)
    assert bounded.links
    assert bounded.links.estimated is None
    assert missing <= bounded.links.most < ROWS // 10
    assert by_index.links
    assert near(by_index.links.most, missing)


def measured(database: Database) -> Costs:
    """Measure as a plan does."""
    with connect(Target("excititor", database.url), "test", Limits(), Flags()) as session:
        costs = measure(session, VEX_RAW, links=True)
    assert costs
    return costs


def test_documents_that_were_not_sampled_have_no_time(excititor: Database, aoc: Aoc) -> None:
    """If documents are stored apart and none is in the sample, neither their time nor a total is given."""
    aoc.configure(excititor)
    document = "(SELECT jsonb_build_object('raw', string_agg(md5(n::text), '')) FROM generate_series(1, 200) AS n)"
    # Autovacuum would free the documents of the deleted rows.
    excititor.run("ALTER TABLE vex_raw SET (autovacuum_enabled = off, toast.autovacuum_enabled = off)")
    load(excititor, 0, 1000, SHAPES["single rows"])
    excititor.run(f"UPDATE vex_raw SET content = {document}")
    sampled, _ = plan(excititor, aoc)
    excititor.run("DELETE FROM vex_raw")
    load(excititor, 1000, 1100, SHAPES["single rows"])
    left, _ = plan(excititor, aoc)

    for facts, known in ((sampled, True), (left, False)):
        *_, last = facts["plan"]
        assert (last["reads"], last["estimated_ms"] is not None) == ("documents", known)
        assert last["size_bytes"] > 2 * facts["table_bytes"]
        assert ("time_estimated_seconds" in facts) == known


def test_a_table_that_cannot_be_read_has_no_figures(excititor: Database, aoc: Aoc) -> None:
    """A table that another session locks has no figures, not even 0 rows; neither plan nor status waits for it."""
    load(excititor, 0, 100, SHAPES["single rows"])
    aoc.configure(excititor)

    with psycopg.connect(excititor.url) as other:
        other.execute("LOCK TABLE vex_raw IN ACCESS EXCLUSIVE MODE")
        ran, status = aoc.json("plan"), aoc.json("status")

    assert status.exit_code == 0
    assert not {name for name in status.report["facts"] if "bytes" in name or "estimated" in name}
    facts = ran.report["facts"]
    assert not facts.keys() & {"catalog", "plan_digest"}
    assert (ran.exit_code, facts["rows_estimated"]) == (0, None)
    assert not {name for name in facts if "bytes" in name or "links" in name or name == "time_estimated_seconds"}
    assert all(line["estimated_ms"] is line["size_bytes"] is None for line in facts["plan"])


def test_a_role_without_select_sees_what_the_catalog_knows(excititor: Database, aoc: Aoc) -> None:
    """Without SELECT, rows are estimated as PostgreSQL's planner does: at the present pages, or not at all."""
    excititor.run("ALTER TABLE vex_raw SET (autovacuum_enabled = off); CREATE ROLE unreading LOGIN PASSWORD 's'")
    try:
        aoc.environment["EXCITITOR_DATABASE_URL"] = excititor.url_as("unreading", "s")
        load(excititor, 0, 500, SHAPES["single rows"])
        before = aoc.json("plan").report["facts"]
        excititor.run(ANALYZED)
        load(excititor, 500, 2000, SHAPES["single rows"])
        after = aoc.json("plan").report["facts"]
    finally:
        excititor.run("DROP ROLE unreading")

    assert before["rows_estimated"] is None
    assert near(after["rows_estimated"], 2000)
    assert after["table_bytes"] == excititor.value("SELECT pg_relation_size('vex_raw')")
