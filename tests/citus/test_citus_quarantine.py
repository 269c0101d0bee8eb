"""`dedupe` and `repair` on a Citus cluster: rows move to the coordinator and back, and none is ever lost."""

import json
from typing import Any

import psycopg

from tests.citus.clusters import Cluster
from tests.conftest import Aoc, Database
from tests.helpers import dump, wait_until
from tests.test_repair import MOVED, REPAIRED

OURS = "FROM pg_stat_activity WHERE application_name LIKE 'aoc-migrate dedupe%'"
TENANTS = ("acme", "it's", "zoo")


def chains(database: Database) -> None:
    """Store A, B, A, C and B of one document for each tenant, linked in that order; one row links to another's."""
    for tenant in TENANTS:
        for n, content in enumerate("ABACB"):
            before = f"{tenant} {n - 1}" if n else None
            values = {"tenant": tenant, "upstream_id": "X", "content_hash": content, "supersedes": before}
            database.add(f"{tenant} {n}", retrieved_at=f"2025-02-0{n + 1}T00:00:00Z", **values)
    database.add("guest", tenant="guest", supersedes="acme 2")
    database.run("ALTER TABLE advisory_raw ADD big text GENERATED ALWAYS AS (upper(upstream_id)) STORED")


def quarantined(database: Database) -> list[Any]:
    """Return the ids in quarantine, and which row replaces each."""
    return database.rows("SELECT id, quarantine_kept FROM advisory_raw_quarantine ORDER BY id")


def test_duplicates_move_and_come_back(shaped: Database, aoc: Aoc) -> None:
    """Surplus rows of every tenant move, links follow within a tenant, and --restore gives back the same table."""
    chains(shaped)
    before = dump(shaped)
    shown = aoc.json("dedupe", "concelier").report["facts"]
    groups = [(d["stays"], d["moves"], d["links"]) for d in shown["duplicates"]]

    ran = aoc.json("dedupe", "concelier", "--apply")

    assert (shown["groups"], shown["surplus"]) == (6, 6)
    assert groups[2:4] == [("it's 0", ["it's 2"], 1), ("it's 1", ["it's 4"], 0)]
    assert (ran.exit_code, ran.report["facts"]["moved"]) == (0, 6), (ran.report["findings"], ran.err)
    gone = [(f"{tenant} {n}", f"{tenant} {n - 2 - n // 4}") for tenant in TENANTS for n in (2, 4)]
    assert quarantined(shaped) == gone
    links = dict(shaped.rows("SELECT id, supersedes FROM advisory_raw"))
    assert {links[f"{tenant} 3"] for tenant in TENANTS} == {f"{tenant} 0" for tenant in TENANTS}
    back = aoc.json("dedupe", "concelier", "--restore", "--apply")
    assert (back.exit_code, back.report["facts"]["restored"]) == (0, 6), (back.report["findings"], back.err)
    assert dump(shaped) == before


def test_broken_rows_are_repaired_or_move_and_come_back(shaped: Database, aoc: Aoc) -> None:
    """Rows that break rules are repaired from their envelope or moved, and --restore gives back the same table."""
    values = {name: row for name, row in MOVED.items() if name != "tenant"} | REPAIRED
    for n, (id_, row) in enumerate(values.items()):
        shaped.add(
            id_, **({"tenant": TENANTS[n % 3], "upstream_id": f"CVE-{n}", "content_hash": f"sha256:{n}"} | row)
        )
    for n, (id_, before) in enumerate({"1": None, "when": "1", "list": "when", "4": "list"}.items()):
        time = {"retrieved_at": f"2025-01-0{n + 1}T00:00:00Z"} if id_ in "14" else {}
        shaped.run("DELETE FROM advisory_raw WHERE id = %s", (id_,))
        shaped.add(id_, tenant="zoo", supersedes=before, content_hash=f"h{n}", **(values.get(id_, {}) | time))
    before = dump(shaped)
    shown = aoc.json("repair", "concelier").report["facts"]

    ran = aoc.json("repair", "concelier", "--rule", "all", "--apply")

    assert (shown["to_repair"], shown["to_move"]) == (len(REPAIRED), len(MOVED) - 1)
    facts = ran.report["facts"]
    assert (ran.exit_code, facts["repaired"], facts["moved"]) == (0, 6, 8), (ran.report["findings"], ran.err)
    kept = dict(quarantined(shaped))
    assert (kept["when"], kept["list"]) == ("1", "1")
    assert shaped.value("SELECT supersedes FROM advisory_raw WHERE id = '4'") == "1"
    assert aoc.json("audit", "concelier").slugs("error") == []
    back = aoc.json("repair", "concelier", "--restore", "--apply")
    assert (back.exit_code, back.report["facts"]["restored"]) == (0, 14), (back.report["findings"], back.err)
    assert dump(shaped) == before


def twins(database: Database, tenants: int) -> None:
    """Store a document twice for each tenant."""
    for n in range(2 * tenants):
        database.add(
            f"{n}", tenant=f"tenant {n // 2}", content_hash="A", retrieved_at=f"2025-01-0{n % 2 + 1}T00:00:00Z"
        )


def test_a_killed_run_goes_on(distributed: Database, aoc: Aoc) -> None:
    """After a kill between batches, the same command moves the rest, and --restore gives back the same table."""
    twins(distributed, 60)
    before = dump(distributed)
    process = aoc.start("dedupe", "concelier", "--apply")
    moved = "SELECT count(*) FROM advisory_raw_quarantine"
    wait_until(lambda: distributed.value("SELECT to_regclass('advisory_raw_quarantine')") is not None)
    wait_until(lambda: distributed.value(moved) > 2)
    process.kill()
    process.wait()
    wait_until(lambda: distributed.value(f"SELECT count(*) {OURS}") == 0)
    some = distributed.value(moved)

    assert "work-unfinished" in aoc.json("audit", "concelier").slugs()
    ran = aoc.json("dedupe", "concelier", "--apply")

    assert (ran.exit_code, ran.report["facts"]["moved"], 0 < some < 60) == (0, 60 - some, True), ran.err
    assert (distributed.value(moved), distributed.value("SELECT count(*) FROM advisory_raw")) == (60, 60)
    for _ in range(2):
        assert aoc("dedupe", "concelier", "--restore", "--apply").exit_code == 0
    assert dump(distributed) == before


def test_no_row_is_lost_if_the_coordinator_fails_while_it_commits(
    distributed: Database, aoc: Aoc, cluster: Cluster
) -> None:
    """If the coordinator's session ends while a shard commits, the row that it moved is still in the raw table."""
    twins(distributed, 1)
    shard, port = distributed.rows(
        "SELECT shard_name::text, nodeport FROM citus_shards "
        "WHERE shardid = get_shard_id_for_distribution_column('advisory_raw', 'tenant 0')"
    )[0]
    name = distributed.connection.info.dbname
    node = next(n for n, url in enumerate(cluster.nodes) if f"port={port}" in url)
    with psycopg.connect(cluster.url(node, name), autocommit=True) as worker:
        worker.execute("SET citus.enable_ddl_propagation = off")
        worker.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN PERFORM pg_sleep(2); RETURN NULL; END'"
        )
        worker.execute(
            f"CREATE CONSTRAINT TRIGGER slow AFTER DELETE ON {shard} DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION slow()"
        )
        process = aoc.start("dedupe", "concelier", "--apply")
        committing = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
        )
        wait_until(lambda: worker.execute(committing).fetchone() == (1,))

        distributed.run(f"SELECT pg_terminate_backend(pid) {OURS}")
        assert process.wait() != 0
        wait_until(lambda: worker.execute(committing).fetchone() == (0,))
    distributed.run("SELECT recover_prepared_transactions()")

    assert distributed.value("SELECT count(*) FROM advisory_raw") == 2
    assert distributed.value("SELECT count(*) FROM advisory_raw_quarantine") == 0


def test_what_moved_stays_away_while_the_rest_goes_up_and_down(
    distributed: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """With rows in quarantine, the table goes up and down; the quarantine is listed and exported, whole."""
    twins(distributed, 3)
    before = dump(distributed)

    for words in ("dedupe concelier --apply", "upgrade concelier", "downgrade concelier base"):
        ran = aoc.json(*words.split(), **retrofit)
        assert ran.exit_code == 0, (words, ran.report["findings"])
    listed = aoc.json("quarantine", "concelier").report["facts"]
    exported = aoc("quarantine", "concelier", "--export", "-")

    assert [row["id"] for row in listed["sample"]] == ["1", "3", "5"]
    assert sorted(json.loads(line)["id"] for line in exported.out.splitlines()) == ["1", "3", "5"], exported.err
    assert aoc("dedupe", "concelier", "--restore", "--apply").exit_code == 0
    assert dump(distributed) == before
