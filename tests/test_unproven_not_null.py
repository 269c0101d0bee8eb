"""A NOT NULL that is NOT VALID, which PostgreSQL 18 has, comes back as it was found: name, comment and all."""

import re
from collections.abc import Callable

import pytest

from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint
from tests.partitions import LONG, partition
from tests.postgres_versions import NOT_VALID, needs
from tests.test_lifecycle import WAYS

pytestmark = pytest.mark.every_postgres

EVERY_COLUMN = ("tenant", "source_vendor", "upstream_id", "content_hash", "retrieved_at", "upstream", "linkset")
PLAIN = """
ALTER TABLE vex_raw ADD CONSTRAINT "a ""tenant"" 100%" NOT NULL tenant NOT VALID;
COMMENT ON CONSTRAINT "a ""tenant"" 100%" ON vex_raw IS 'it''s 100 % "theirs"';
ALTER TABLE vex_raw ADD CONSTRAINT vendor_alone NOT NULL source_vendor NO INHERIT NOT VALID;
ALTER TABLE vex_raw ADD CONSTRAINT source_alone NOT NULL source NO INHERIT;
ALTER TABLE vex_raw ADD CONSTRAINT proven NOT NULL upstream_id;
COMMENT ON CONSTRAINT proven ON vex_raw IS 'proven before';
ALTER TABLE vex_raw ADD NOT NULL content_hash NOT VALID;
CREATE UNIQUE INDEX theirs ON vex_raw (tenant, content_hash);
ALTER TABLE vex_raw REPLICA IDENTITY USING INDEX theirs;
"""
ALL = "".join(f"ALTER TABLE vex_raw ADD CONSTRAINT {c} NOT NULL {c} NOT VALID;" for c in (*EVERY_COLUMN, "source"))
PARTED = f"""
ALTER TABLE vex_raw ADD CONSTRAINT of_all NOT NULL upstream_id NOT VALID;
COMMENT ON CONSTRAINT of_all ON vex_raw IS 'of all';
COMMENT ON CONSTRAINT of_all ON "Raw b" IS 'of a part';
ALTER TABLE vex_raw_a VALIDATE CONSTRAINT of_all;
ALTER TABLE {LONG} ADD CONSTRAINT own NOT NULL source_vendor NOT VALID;
COMMENT ON CONSTRAINT own ON {LONG} IS 'of one';
ALTER TABLE vex_raw_rest ADD CONSTRAINT rest NOT NULL linkset NOT VALID;
ALTER TABLE vex_raw ADD CONSTRAINT linked NOT NULL linkset NOT VALID;
ALTER TABLE vex_raw_rest ADD CONSTRAINT "it's alone" NOT NULL retrieved_at NO INHERIT;
COMMENT ON CONSTRAINT "it's alone" ON vex_raw_rest IS 'not for others';
ALTER TABLE vex_raw_a ADD CONSTRAINT alone NOT NULL source NO INHERIT NOT VALID;
"""


APART = """
CREATE TABLE vex_raw_n (LIKE vex_raw INCLUDING DEFAULTS, CONSTRAINT mine NOT NULL upstream_id, NOT NULL linkset);
COMMENT ON CONSTRAINT mine ON vex_raw_n IS 'of the partition, which was attached';
CREATE TABLE vex_raw_m (LIKE vex_raw INCLUDING DEFAULTS, CONSTRAINT middle NOT NULL upstream_id, NOT NULL linkset)
  PARTITION BY HASH (content_hash);
COMMENT ON CONSTRAINT middle ON vex_raw_m IS 'of the partitions of a partition';
CREATE TABLE vex_raw_m0 PARTITION OF vex_raw_m FOR VALUES WITH (MODULUS 1, REMAINDER 0);
"""
ATTACH = """
ALTER TABLE vex_raw ATTACH PARTITION vex_raw_n FOR VALUES IN ('n');
ALTER TABLE vex_raw ATTACH PARTITION vex_raw_m FOR VALUES IN ('m');
"""


@pytest.fixture
def excititor_18(excititor: Database, aoc: Aoc) -> Database:
    """Excititor's database on PostgreSQL 18, with a row."""
    needs(excititor.connection, NOT_VALID)
    excititor.add("1", tenant="a")
    aoc.configure(excititor)
    return excititor


def catalogs(database: Database) -> list[str]:
    """Return what both schemas look like; cold has partitions."""
    return [line for schema in ("public", "cold") for line in fingerprint(database.connection, schema)]


@pytest.mark.alike
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("found", [PLAIN, ALL], ids=["some columns", "all columns"])
def test_it_comes_back_as_it_was(found: str, way: str, excititor_18: Database, aoc: Aoc) -> None:
    """Up proves every NOT NULL; down leaves each as it was found, by every way."""
    excititor_18.run(found)
    go: Callable[[str, str], None] = WAYS[way](excititor_18, aoc)
    go("upgrade", "excititor_0002")
    before = catalogs(excititor_18)

    go("upgrade", "excititor_0003")
    verified = aoc.json("verify")
    go("downgrade", "excititor_0002")

    assert [s for s in verified.slugs("error") if s != "not-at-head"] == []
    assert catalogs(excititor_18) == before
    go("upgrade", "head")
    go("downgrade", "base")


def test_the_rows_are_proven_under_the_weak_lock(excititor_18: Database, aoc: Aoc) -> None:
    """The proof is a step of its own under the weak lock; a plan shows it only where it is needed."""
    without = aoc.json("plan").report["facts"]["plan"]
    excititor_18.run(PLAIN)
    planned = aoc.json("plan").report["facts"]["plan"]

    steps = [step["statement"] for step in aoc.json("upgrade", "excititor_0003").report["steps"]]

    (proof,) = [step for step in planned if re.match("VALIDATE .*NOT NULL", step["statement"])]
    assert (proof["lock"], proof["reads"]) == ("SHARE UPDATE EXCLUSIVE", "table")
    validated, *_, last = [step for step in steps if "NOT NULL" in step]
    assert validated.startswith(f"VALIDATE NOT NULL {', '.join(proof['objects'])} ON")
    assert last.startswith("SET NOT NULL")
    assert not [step for step in without if re.match("VALIDATE .*NOT NULL", step["statement"])]


def test_partitions_come_back_as_they_were(excititor_18: Database, aoc: Aoc) -> None:
    """In a partitioned table each partition's NOT NULL comes back too, proven or not, with name and comment."""
    excititor_18.run("DELETE FROM vex_raw")
    partition(excititor_18.connection, "vex_raw")
    excititor_18.run(PARTED)
    for tenant in "abc":
        excititor_18.add(tenant, tenant=tenant)
    assert aoc("upgrade", "excititor_0002").exit_code == 0
    before = catalogs(excititor_18)

    up = aoc.json("upgrade", "excititor_0003")
    verified = aoc.json("verify")
    down = aoc.json("downgrade", "excititor_0002")

    assert (up.exit_code, down.exit_code) == (0, 0), up.out + down.out
    assert [s for s in verified.slugs("error") if s != "not-at-head"] == []
    assert catalogs(excititor_18) == before


def test_a_partition_has_no_inherit_again(excititor_18: Database, aoc: Aoc) -> None:
    """NO INHERIT of a partition's NOT NULL comes back too where every NOT NULL was proven."""
    excititor_18.run("DELETE FROM vex_raw")
    partition(excititor_18.connection, "vex_raw")
    excititor_18.run("ALTER TABLE vex_raw_rest ADD CONSTRAINT alone NOT NULL retrieved_at NO INHERIT")
    assert aoc("upgrade", "excititor_0002").exit_code == 0
    before = catalogs(excititor_18)

    codes = aoc("upgrade", "excititor_0003").exit_code, aoc("downgrade", "excititor_0002").exit_code

    assert codes == (0, 0)
    assert catalogs(excititor_18) == before


def test_attached_partitions_keep_their_names(excititor_18: Database, aoc: Aoc) -> None:
    """A partition that was attached with a proven NOT NULL of its own has it again, proven and by its name."""
    excititor_18.run("DELETE FROM vex_raw")
    partition(excititor_18.connection, "vex_raw")
    excititor_18.run(APART + PARTED + ATTACH)
    excititor_18.add("1", tenant="n")
    of_parts = (
        "SELECT conrelid::regclass::text, conname, convalidated, obj_description(oid, 'pg_constraint') "
        "FROM pg_constraint WHERE contype = 'n' AND conrelid::regclass::text IN ('vex_raw_n', 'vex_raw_m0') "
        "AND conname IN ('mine', 'middle') ORDER BY 1, 2"
    )
    assert aoc("upgrade", "excititor_0002").exit_code == 0
    before = excititor_18.rows(of_parts)

    up, down = aoc.json("upgrade", "excititor_0003"), aoc.json("downgrade", "excititor_0002")

    assert (up.exit_code, down.exit_code) == (0, 0), up.out + down.out
    assert excititor_18.rows(of_parts) == before


def test_what_others_have_done_since_is_left(excititor_18: Database, aoc: Aoc) -> None:
    """A downgrade leaves a NOT NULL that somebody has made NOT VALID since, whatever other tables have."""
    assert aoc("upgrade", "excititor_0003").exit_code == 0
    excititor_18.run("CREATE TABLE elsewhere (LIKE vex_raw)")
    excititor_18.run("ALTER TABLE elsewhere ALTER content_hash DROP NOT NULL, ADD NOT NULL content_hash NOT VALID")
    excititor_18.run("ALTER TABLE vex_raw ALTER tenant DROP NOT NULL, ADD NOT NULL tenant NOT VALID")

    assert aoc("downgrade", "excititor_0002").exit_code == 0

    left = "SELECT attname::text FROM pg_attribute WHERE attrelid = 'vex_raw'::regclass AND attnotnull"
    assert excititor_18.rows(f"{left} AND attnum > 0") == [("id",), ("tenant",)]
