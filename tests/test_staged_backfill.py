"""The backfill of a table beyond the cache: it stages wrong links, and writes them in the order of their pages."""

import re
from collections import Counter
from typing import Any

import pytest

from aoc_migrate.contract.v1 import VEX_RAW
from aoc_migrate.database.batches import index_plans_only
from aoc_migrate.database.bookkeeping import JOURNAL, STATE
from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.own_tables import create
from aoc_migrate.database.relation import Schema
from aoc_migrate.database.session import Session, connect
from aoc_migrate.database.targets import Target
from aoc_migrate.operations.supersedes.staged import PARTS, STAGED, batch, exceeds_cache, stage
from tests.conftest import Aoc, Database
from tests.helpers import beyond_cache, scans, updates, wait_until, wrong_links
from tests.partitions import partition

ROWS = """INSERT INTO vex_raw (id, tenant, source_vendor, upstream_id, content_hash, retrieved_at, source,
  upstream, linkset, content) SELECT 'vex_raw:osv:cve-' || n, 'default', 'osv', 'CVE-2025-' || n * 2 / 5,
  'sha256:' || n, timestamptz '2025-01-01' + n * interval '1 min', '{}', '{}', '{}',
  jsonb_build_object('raw', jsonb_build_object('filler', repeat('x', 480)))
  FROM generate_series(0, 11999) AS n ORDER BY md5(n::text)"""
PROBE = 1  # the probe of an upgrade scans for one row
STORED = "SELECT n, visit, again, place::text, id, expected FROM pg_temp.aoc_staged_links ORDER BY n"


@pytest.fixture
def large(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> Database:
    """An excititor with 12,000 rows in no order before the backfill, which is allowed, and with a tiny cache."""
    excititor.run(f"ALTER TABLE vex_raw SET (autovacuum_enabled = off); {ROWS}; ANALYZE vex_raw")
    aoc.configure(excititor)
    aoc.environment |= retrofit
    assert aoc("upgrade", "excititor_0005").exit_code == 0
    beyond_cache(excititor)
    return excititor


def session_on(database: Database, url: str = "") -> Any:
    """Connect as our commands do."""
    return connect(Target("excititor", url or database.url), "test", Limits(), Flags())


def staged(session: Session) -> list[dict[str, Any]]:
    """Stage the wrong links and return them."""
    session.run(stage(VEX_RAW, session.raw))
    return session.rows(STORED)


def page_of(row: dict[str, Any]) -> int:
    """Return the number of the page that holds a staged row."""
    return int(row["place"].strip("()").split(",")[0])


def test_each_wrong_link_is_staged_once_and_no_visit_returns_to_a_page(large: Database) -> None:
    """Every wrong link is staged once; the rows of a visit are on different pages, and only the first by key."""
    with session_on(large) as session:
        rows = staged(session)

    visits = Counter((row["visit"], page_of(row)) for row in rows)
    first = [row["id"] for row in rows if not row["again"]]
    keys = dict(large.rows("SELECT id, upstream_id FROM vex_raw"))
    pages = [(row["visit"], page_of(row)) for row in rows if row["again"]]
    assert len({row["id"] for row in rows}) == len(rows) == wrong_links(large) == 7200
    assert max(visits.values()) == 1
    assert first == sorted(first, key=lambda id_: keys[id_])
    assert len(first) == len({page_of(row) for row in rows})
    assert pages == sorted(pages)


def test_most_updates_in_page_order_are_in_place(large: Database, aoc: Aoc) -> None:
    """Four of five updates are in place, and the table grows by 15 % at most, as in key order."""
    before = large.value("SELECT pg_relation_size('vex_raw')")

    ran = aoc.json("upgrade", "excititor_0006")

    updated, in_place = updates(large)
    assert (ran.exit_code, updated, wrong_links(large)) == (0, 7200, 0)
    assert in_place / updated >= 0.8
    assert large.value("SELECT pg_relation_size('vex_raw')") / before <= 1.15


def test_the_table_is_read_three_times(large: Database, aoc: Aoc) -> None:
    """The backfill reads the table to stage links, to write them page by page, and to look for wrong ones."""
    before = scans(large)

    ran = aoc.json("upgrade", "excititor_0006")

    assert ran.report["facts"]["full_reads_for_changes"] == {"backfill": 3}
    assert scans(large) - before == sum(ran.report["facts"]["full_reads_for"].values()) + 2 + PROBE


def test_a_killed_run_stages_what_is_left(large: Database, aoc: Aoc) -> None:
    """After kill -9 the same command writes only what is still wrong, and the way back is exact."""
    running = aoc.start("upgrade", "excititor_0006", "--batch-rows", "100", "--pace", "20%")
    wait_until(lambda: large.value("SELECT to_regclass('aoc_supersedes_journal') IS NOT NULL"))
    wait_until(lambda: large.value("SELECT count(*) FROM aoc_supersedes_journal") >= 5)
    running.kill()
    running.communicate()
    left = wrong_links(large)
    assert 0 < left < 7200, "the kill came too late to prove anything"

    ran = aoc.json("upgrade")

    (rows,) = [step["rows"] for step in ran.report["steps"] if "rows" in step]
    assert (ran.exit_code, wrong_links(large)) == (0, 0)
    assert rows <= left  # a batch may have ended after the kill
    assert (
        large.value("SELECT (value->>'rows')::int FROM aoc_migration_state WHERE name = 'excititor_0006'") == 7200
    )
    assert aoc("downgrade", "base").exit_code == 0
    assert large.value("SELECT count(supersedes) FROM vex_raw") == 0


def test_a_partition_of_any_name_is_written(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """A partition is written page by page, even if a driver would take a part of its name for a placeholder."""
    partition(excititor.connection, "vex_raw")
    excititor.run('ALTER TABLE vex_raw_a RENAME TO "raw 50%s %"')
    for n in range(4):
        excititor.add(f"{n}", tenant="a", retrieved_at=f"2025-01-0{n + 1}T00:00:00Z")
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0005").exit_code == 0
    beyond_cache(excititor)

    ran = aoc.json("upgrade", **retrofit)

    assert (ran.exit_code, wrong_links(excititor)) == (0, 0), ran.report["findings"]
    assert "larger than effective_cache_size" in ran.err


def test_a_batch_reads_only_its_own_pages(large: Database) -> None:
    """A batch finds its rows by their place, frees room in the range of its pages, and scans no table."""
    with session_on(large) as session, index_plans_only(session):
        create(session, STATE, JOURNAL)
        staged(session)
        session.run(f"CREATE INDEX ON {STAGED} (n)")
        (part,) = session.rows(PARTS)
        statement = batch(VEX_RAW, Schema("public"), "excititor_0006", part["name"])
        for name in ("place", "last", "size"):
            statement = statement.replace(f"%({name})s", {"place": "$1", "last": "$2", "size": "$3"}[name])
        session.run(f"PREPARE page (bigint, bigint, bigint) AS {statement}")
        plan = "\n".join(row["QUERY PLAN"] for row in session.rows("EXPLAIN EXECUTE page (0, 7200, 1000)"))

    assert part["name"] == "public.vex_raw"
    assert len(re.findall(r"Tid Range Scan on vex_raw", plan)) == 1
    assert len(re.findall(r"Tid Scan on vex_raw", plan)) == 1
    assert "Index Scan using aoc_staged_links_n_idx" in plan
    assert "Seq Scan" not in plan


def test_plan_states_the_room_for_staging(large: Database, aoc: Aoc) -> None:
    """`plan` gives the size of the temporary table, within a twentieth; without need for one, it gives none."""
    facts = aoc.json("plan").report["facts"]
    with session_on(large) as session:
        staged(session)
        session.run(f"CREATE INDEX ON {STAGED} (n)")
        pages = session.value(f"SELECT (max(ctid)::text::point)[0]::int + 1 FROM {STAGED}")  # the file has more
        size = 8192 * pages + session.value(f"SELECT pg_indexes_size(to_regclass('{STAGED}'))")
    large.run(f"ALTER DATABASE {large.connection.info.dbname} RESET effective_cache_size")

    assert facts["backfill_staging_at_most_bytes"] == pytest.approx(size, rel=0.05)
    assert "backfill_staging_at_most_bytes" not in aoc.json("plan").report["facts"]


def test_limited_roles_keep_to_key_order(large: Database) -> None:
    """Without the right to create temporary tables, or with a limit for temporary files, nothing is staged."""
    name = large.connection.info.dbname
    with session_on(large) as session:
        assert exceeds_cache(session, VEX_RAW)
        session.run("SET temp_file_limit = '1GB'")
        assert not exceeds_cache(session, VEX_RAW)
    large.run(f"CREATE ROLE {name}_owner LOGIN PASSWORD 'x'; REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")
    large.run(f"ALTER TABLE vex_raw OWNER TO {name}_owner")
    try:
        with session_on(large, large.url_as(f"{name}_owner", "x")) as session:
            assert not exceeds_cache(session, VEX_RAW)
            large.run(f"GRANT TEMPORARY ON DATABASE {name} TO {name}_owner")
            assert exceeds_cache(session, VEX_RAW)
    finally:
        large.run(f"REASSIGN OWNED BY {name}_owner TO CURRENT_USER; DROP OWNED BY {name}_owner")
        large.run(f"DROP ROLE {name}_owner")
