"""Partitioned raw tables: what is refused, what is built where, and what PostgreSQL reads for it."""

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from aoc_migrate.contract.v1 import VEX_RAW
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.spread.partitions import Node
from tests.conftest import ROOT, Aoc, Database
from tests.helpers import psql, wait_until, wrong_links
from tests.partitions import LONG, pairs, partition
from tests.test_lifecycle import alembic

INDEXES = (VEX_RAW.idempotency_index().name, VEX_RAW.chain_index().name)
PART = "CREATE TABLE vex_raw_a PARTITION OF vex_raw "


@pytest.fixture
def partitioned(excititor: Database, aoc: Aoc) -> Database:
    """Excititor's database with an empty raw table of two levels of partitions, configured."""
    partition(excititor.connection, "vex_raw")
    aoc.configure(excititor)
    return excititor


def repartition(database: Database, *, by: str, key: str, parts: str = "") -> None:
    """Replace the empty raw table with one that is partitioned differently."""
    database.run(
        f"ALTER TABLE vex_raw RENAME TO flat; CREATE TABLE vex_raw (LIKE flat INCLUDING DEFAULTS{key}) "
        f"PARTITION BY {by}; DROP TABLE flat; {parts}"
    )


REFUSED = {
    "partition-key": {"by": "RANGE (retrieved_at)", "key": ", PRIMARY KEY (id, retrieved_at)"},
    "partition-key expression": {"by": "LIST (lower(tenant))", "key": ""},
    "partition-key second level": {
        "by": "LIST (tenant)",
        "key": ", PRIMARY KEY (id, tenant, retrieved_at)",
        "parts": f"{PART} FOR VALUES IN ('a') PARTITION BY RANGE (retrieved_at)",
    },
    "partition-id-index": {"by": "LIST (tenant)", "key": ", PRIMARY KEY (tenant, id)"},
    "foreign-partition": {
        "by": "LIST (tenant)",
        "key": "",
        "parts": "CREATE EXTENSION IF NOT EXISTS file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw; "
        "CREATE INDEX ON vex_raw (id); CREATE FOREIGN TABLE vex_raw_a PARTITION OF vex_raw FOR VALUES IN ('a') "
        "SERVER files OPTIONS (filename '/dev/null')",
    },
}


@pytest.mark.parametrize("name", REFUSED)
def test_partitions_that_cannot_be_unique_are_refused(name: str, excititor: Database, aoc: Aoc) -> None:
    """Partitions over which no key or no id can be unique, or that can have no index, are found by the audit."""
    if name == "foreign-partition":
        excititor.run("ALTER TABLE vex_raw DROP CONSTRAINT vex_raw_pkey")
    repartition(excititor, **REFUSED[name])
    aoc.configure(excititor)

    ran = aoc.json("audit")

    assert ran.exit_code == 1
    assert name.split(maxsplit=1)[0] in ran.slugs("error")


def test_an_id_in_two_partitions_is_found(partitioned: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """An id in two partitions, which no index forbids, stops the upgrade, and verify finds it afterwards."""
    partitioned.add("1", tenant="a")
    partitioned.add("1", tenant="c")
    stopped = aoc.json("upgrade", **retrofit)
    partitioned.run("UPDATE vex_raw SET id = '2' WHERE tenant = 'c'")
    aoc("upgrade", **retrofit)
    partitioned.add("1", tenant="d")  # stored now, though it was retrieved long ago
    verified = [aoc.json("verify", *words) for words in ([], ["--since", "1h"])]
    partitioned.run("UPDATE vex_raw SET created_at = retrieved_at")
    verified.append(aoc.json("verify", "--since", "1h"))

    assert (stopped.exit_code, stopped.slugs("error"), stopped.report["changed"]) == (1, ["ambiguous-id"], False)
    assert stopped.finding("ambiguous-id")["sample"] == [{"id": "1", "rows": 2}]
    assert [ran.slugs("error") for ran in verified] == [["ambiguous-id"], ["ambiguous-id"], []]


@pytest.mark.parametrize("parted", [True, False], ids=["partitions", "plain"])
def test_each_strong_lock_on_partitions_is_an_instant_by_itself(
    parted: bool, excititor: Database, aoc: Aoc
) -> None:
    """What a plain table does under one lock, a partitioned one does under one after the other."""
    if parted:
        partition(excititor.connection, "vex_raw")
    aoc.configure(excititor)

    ran = [step["statement"] for step in aoc.json("upgrade", "excititor_0002").report["steps"]]

    names = [f"vex_raw_{rule}_v1" for rule in ("keys", "objects", "required")]
    added = names if parted else [", ".join(names)]
    assert [line for line in ran if "ADD CONSTRAINT" in line] == [f"ADD CONSTRAINT {n} ON vex_raw" for n in added]


def test_every_partition_has_both_indexes(partitioned: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """Each partition of each level has its part of both indexes, which hold, and refuses what breaks a rule."""
    for n, tenant in enumerate("aabbbbcc"):
        partitioned.add(f"{n}", tenant=tenant, content_hash=f"sha256:{n}")

    upgraded, probed = aoc.json("upgrade", **retrofit), aoc.json("verify", "--probe")

    assert (upgraded.exit_code, upgraded.slugs("error")) == (0, [])
    assert (probed.exit_code, probed.report["facts"]["probed"]) == (0, True)
    statements = [step["statement"] for step in upgraded.report["steps"]]
    for index in INDEXES:
        found = pairs(partitioned.connection, index)
        assert set(found) == {"vex_raw_a", '"Raw b"', "cold.vex_raw_b", LONG, "vex_raw_empty", "vex_raw_rest"}
        assert None not in found.values()
        assert f"ATTACH INDEX {index} ON vex_raw and its partitions (6 times)" in statements
    with pytest.raises(psycopg.errors.UniqueViolation):
        partitioned.add("again", tenant="b", content_hash="sha256:3")


def test_later_partitions_are_guarded_at_once(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """A table without partitions is migrated; those that come later are guarded and indexed from the start."""
    repartition(excititor, by="LIST (tenant)", key=", PRIMARY KEY (id, tenant)")
    aoc.configure(excititor)

    upgraded = aoc.json("upgrade", **retrofit)
    excititor.run(f"{PART} FOR VALUES IN ('default')")

    assert (upgraded.exit_code, upgraded.slugs()) == (0, ["probe-not-possible"])
    assert "no partition" in upgraded.finding("probe-not-possible")["problem"]
    with pytest.raises(psycopg.errors.CheckViolation):
        excititor.add("1", source=[])
    excititor.add("1")
    assert aoc.json("verify", "--probe").slugs() == []
    assert None not in pairs(excititor.connection, INDEXES[0]).values()


BROKEN = {
    "part": "UPDATE pg_index SET indisvalid = false WHERE indexrelid::regclass::text IN ('{i}', 'vex_raw_a_{s}')",
    "whole": "UPDATE pg_index SET indisvalid = false WHERE indexrelid::regclass::text IN ('{i}', '\"Raw b_{s}\"')",
    "gone": "DROP INDEX {i}",
}


@pytest.mark.alike
@pytest.mark.parametrize("how", BROKEN)
def test_a_partitions_index_is_repaired(
    how: str, partitioned: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """An index that is invalid, in a part or as a whole, or gone is found by verify and repaired by upgrade."""
    aoc("upgrade", **retrofit)
    index = INDEXES[0]
    partitioned.run(BROKEN[how].format(i=index, s=index.removeprefix("vex_raw_")))

    found = aoc.json("verify").slugs()

    assert found == ["missing-index" if how == "gone" else "invalid-index"]
    assert aoc("upgrade").exit_code == 0
    assert aoc.json("verify").slugs() == []
    assert None not in pairs(partitioned.connection, index).values()


def test_batches_read_no_whole_partition(partitioned: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """However many batches the backfill takes, it reads each partition only a few times."""
    rows = 12_000
    partitioned.run(
        "INSERT INTO vex_raw (id, tenant, source_vendor, upstream_id, content_hash, retrieved_at, source, "
        "upstream, linkset) SELECT 'r' || n, chr(97 + n / 5 % 3), 'osv', 'CVE-' || n / 5, 'sha256:' || n, "
        "timestamptz '2025-01-01' + n * interval '1 second', '{}', '{}', '{}' "
        f"FROM generate_series(1, {rows}) AS n; ANALYZE vex_raw"
    )
    assert aoc("upgrade", "excititor", "excititor_0005", **retrofit).exit_code == 0
    before = rows_read(partitioned)

    assert aoc("upgrade", "excititor", "excititor_0006", **retrofit).exit_code == 0

    assert wrong_links(partitioned) == 0
    assert max(after - n for after, n in zip(rows_read(partitioned), before, strict=True)) < 15 * rows


def rows_read(database: Database) -> tuple[int, int]:
    """Return how many rows of partitions scans and indexes have read, once every session has reported."""
    wait_until(lambda: not database.value("SELECT count(*) FROM pg_stat_activity WHERE application_name ~ '^aoc'"))
    found: tuple[int, int] = database.rows(
        "SELECT sum(seq_tup_read)::int, sum(idx_tup_fetch)::int FROM pg_stat_user_tables "
        "WHERE relid IN (SELECT relid FROM pg_partition_tree('vex_raw'))"
    )[0]
    return found


def test_a_foreign_index_of_a_partition_is_found_first(partitioned: Database, aoc: Aoc) -> None:
    """A different index with the name of a partition's index is found before anything is done."""
    name = "vex_raw_a_idempotency_v1"
    partitioned.run(f"CREATE INDEX {name} ON vex_raw_a (tenant)")

    ran = aoc.json("upgrade")

    assert (ran.exit_code, ran.report["changed"]) == (1, False)
    assert [f["subject"] for f in ran.report["findings"] if f["slug"] == "foreign-object"] == [name]


def test_scripts_refuse_a_partitioned_table(partitioned: Database, aoc: Aoc) -> None:
    """psql scripts say that they are not for a partitioned table, before they change anything."""
    applied = psql(partitioned, (ROOT / "scripts" / "apply-aoc-constraints.sql").read_text())
    planned = aoc("plan", "excititor", "--sql")
    printed = psql(partitioned, alembic(partitioned, aoc, "upgrade", "base:head", "--sql").out)

    assert (applied.exit_code, "vex_raw is partitioned" in applied.err) == (3, True)
    assert (planned.exit_code, "vex_raw is partitioned" in planned.err) == (2, True)
    assert (printed.exit_code, "vex_raw is partitioned, or Citus manages it" in printed.err) == (3, True)
    assert partitioned.value("SELECT to_regclass('aoc_migration_state')") is None


def test_another_owner_of_a_partition_is_found_first(partitioned: Database, aoc: Aoc) -> None:
    """A partition that another role owns is found before anything is changed, with the GRANT that helps."""
    partitioned.run("CREATE ROLE raw_owner LOGIN PASSWORD 's'; CREATE ROLE other_owner")
    try:
        partitioned.run(
            "GRANT ALL ON SCHEMA public, cold TO raw_owner; ALTER TABLE vex_raw OWNER TO raw_owner; "
            "ALTER TABLE vex_raw_rest OWNER TO other_owner"
        )
        for table in ("vex_raw_a", '"Raw b"', "cold.vex_raw_b", LONG, "vex_raw_empty"):
            partitioned.run(f"ALTER TABLE {table} OWNER TO raw_owner")
        aoc.environment["EXCITITOR_DATABASE_URL"] = partitioned.url_as("raw_owner", "s")

        ran = aoc.json("upgrade")

        assert (ran.exit_code, ran.slugs("error"), ran.report["changed"]) == (1, ["privileges"], False)
        assert "vex_raw_rest, which other_owner owns" in ran.finding("privileges")["problem"]
    finally:
        partitioned.run("DROP OWNED BY raw_owner, other_owner CASCADE; DROP ROLE raw_owner, other_owner")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), st.text("ab."))
def test_names_of_partition_indexes_fit_and_differ(relname: str, place: str) -> None:
    """The name of a partition's index fits into 63 bytes, keeps its ending, and differs where tables differ."""
    index, root = VEX_RAW.idempotency_index(), Relation("public", "vex_raw")
    nodes = (Node(Relation(place, bare), True, root, None, False) for bare in (relname, f"{relname}'"))
    name, other = (node.own_index(root, index) for node in nodes)

    assert len(name.name.encode()) <= 63
    assert name.name.endswith("_idempotency_v1")
    assert name != other
    assert sql.Identifier(name.schema, name.name).as_string() == str(name)
