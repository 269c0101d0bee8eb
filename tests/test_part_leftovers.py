"""What an interrupted run has left on partitions is found, and dropped by the next upgrade or downgrade."""

import psycopg
import pytest

from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint
from tests.partitions import loosen

KEY = "(tenant, source_vendor, upstream_id, content_hash)"
PARTS = f"""
CREATE TABLE vex_a PARTITION OF vex_raw FOR VALUES IN ('a');
CREATE UNIQUE INDEX own_key ON vex_a {KEY};
CREATE TABLE vex_b PARTITION OF vex_raw FOR VALUES IN ('b');
"""
CHECK = "aoc_kept_not_null_0a1b2c3d"
INDEXES = {
    "vex_a_idempotency_v1_kept": f"CREATE UNIQUE INDEX vex_a_idempotency_v1_kept ON vex_a {KEY};",
    "own_key_ccnew": f"CREATE UNIQUE INDEX own_key_ccnew ON vex_a {KEY};",
    "vex_b_idempotency_v1_ccnew1": f"CREATE UNIQUE INDEX vex_b_idempotency_v1_ccnew1 ON vex_b {KEY};",
}
LEFT = f"ALTER TABLE vex_b ADD CONSTRAINT {CHECK} CHECK (upstream_id IS NOT NULL) NOT VALID;"
INVALID = "UPDATE pg_index SET indisvalid = false WHERE indexrelid IN (SELECT to_regclass(unnest(%s::text[])))"


@pytest.fixture
def loose_at_head(excititor: Database, aoc: Aoc) -> Database:
    """Excititor's database at head, with two partitions."""
    loosen(excititor.connection, PARTS)
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0
    return excititor


def leave(database: Database) -> None:
    """Leave on the partitions what interrupted runs leave, and an index of others like it."""
    database.run(f"CREATE UNIQUE INDEX theirs ON vex_b {KEY}; CREATE INDEX a_idempotency_v1_kept ON vex_b (id)")
    database.run(LEFT + "".join(INDEXES.values()))
    database.run(INVALID, [[*INDEXES, "theirs"]])


def test_an_upgrade_drops_what_was_left(loose_at_head: Database, aoc: Aoc) -> None:
    """Verify warns of it by name, and an upgrade at head drops it, and nothing of others."""
    before = fingerprint(loose_at_head.connection)
    leave(loose_at_head)

    found = aoc.json("verify")
    assert aoc("upgrade").exit_code == 0

    assert found.exit_code == 0
    assert all(name in found.finding("leftover")["problem"] for name in (CHECK, *INDEXES))
    assert aoc.json("verify").slugs() == []
    assert loose_at_head.value("SELECT to_regclass('theirs') IS NOT NULL")
    loose_at_head.run("DROP INDEX theirs, a_idempotency_v1_kept")
    assert fingerprint(loose_at_head.connection) == before


def test_a_downgrade_drops_what_was_left(loose_at_head: Database, aoc: Aoc) -> None:
    """A downgrade of the revision that had made it leaves nothing of it."""
    leave(loose_at_head)

    assert aoc("downgrade", "excititor_0001").exit_code == 0

    for name in INDEXES:
        assert loose_at_head.value("SELECT to_regclass(%s) IS NULL", [name]), name
    assert loose_at_head.value("SELECT count(*) FROM pg_constraint WHERE conname = %s", [CHECK]) == 0


def test_what_is_being_built_is_not_left_over(loose_at_head: Database, aoc: Aoc) -> None:
    """An index that another session may be building is neither reported nor waited for."""
    loose_at_head.run(INDEXES["own_key_ccnew"])
    loose_at_head.run(INVALID, [["own_key_ccnew"]])
    with psycopg.connect(loose_at_head.url) as other:
        other.execute("LOCK TABLE vex_a IN SHARE UPDATE EXCLUSIVE MODE")

        found, ran = aoc.json("verify"), aoc.json("upgrade", "--deadline", "1s")

    assert (found.slugs(), ran.exit_code, ran.report["changed"]) == ([], 0, False)
