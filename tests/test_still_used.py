"""What others have based on our index or on our NOT NULL is found before a rollback changes anything."""

import pytest

from tests.conftest import ROOT, Aoc, Database
from tests.copies import made_once
from tests.fingerprint import fingerprint
from tests.helpers import psql
from tests.partitions import partition
from tests.test_lifecycle import alembic

NAME = "vex_raw_idempotency_v1"
PEERS = "REFERENCES vex_raw (tenant, source_vendor, upstream_id, content_hash)"
USES = {
    "constraint": f"ALTER TABLE vex_raw ADD CONSTRAINT {NAME} UNIQUE USING INDEX {NAME}",
    "foreign key": f"CREATE TABLE peers (a text, b text, c text, d text, FOREIGN KEY (a, b, c, d) {PEERS})",
    "replica identity": f"ALTER TABLE vex_raw REPLICA IDENTITY USING INDEX {NAME}",
    "identity of columns": "CREATE UNIQUE INDEX rid ON vex_raw (tenant, id); "
    "ALTER TABLE vex_raw REPLICA IDENTITY USING INDEX rid",
    "primary key": "ALTER TABLE vex_raw ADD UNIQUE (id), DROP CONSTRAINT vex_raw_pkey; "
    "ALTER TABLE vex_raw ADD PRIMARY KEY (tenant, id)",
}
AGAIN = {
    "constraint": f"ALTER TABLE vex_raw DROP CONSTRAINT {NAME}",
    "foreign key": "ALTER TABLE peers DROP CONSTRAINT peers_a_b_c_d_fkey",
    "primary key": "ALTER TABLE vex_raw DROP CONSTRAINT vex_raw_pkey",
}
IDENTITY = "ALTER TABLE public.vex_raw REPLICA IDENTITY DEFAULT"
WAYS = {"remove": ("constraints", "excititor", "--remove"), "down": ("downgrade", "excititor", "base")}


@pytest.fixture
def excititor_at_head(request: pytest.FixtureRequest, excititor: Database, aoc: Aoc) -> Database:
    """Excititor's database at head."""
    aoc.configure(excititor)
    made_once(request, excititor, lambda: aoc("upgrade"))
    return excititor


@pytest.mark.alike
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("way", WAYS)
def test_a_rollback_says_it_beforehand(way: str, use: str, excititor_at_head: Database, aoc: Aoc) -> None:
    """The rollback ends with 1 before it changes anything; after what it says, the same command goes through."""
    excititor_at_head.run(USES[use])

    ran = aoc.json(*WAYS[way])

    assert (ran.exit_code, set(ran.slugs("error")), ran.report["changed"]) == (1, {"still-used"}, False)
    assert ran.report["revision"] == "excititor_0007"
    for said in (str(found["problem"]).split("; ") for found in ran.report["findings"]):
        assert len(said) == len(set(said)), said
    assert aoc("verify").exit_code == 0
    if use == "replica identity":
        assert f"ALTER TABLE {IDENTITY.split()[2]} REPLICA IDENTITY DEFAULT;" in str(ran.report["findings"])
    excititor_at_head.run(AGAIN.get(use, IDENTITY))
    assert aoc(*WAYS[way]).exit_code == 0


@pytest.mark.parametrize("use", ["foreign key", "primary key"])
def test_the_plan_and_its_script_say_it_too(use: str, excititor_at_head: Database, aoc: Aoc) -> None:
    """A plan of the way down shows the same finding, and its psql script stops at it."""
    excititor_at_head.run(USES[use])

    planned = aoc.json("plan", "excititor", "base")
    script = psql(excititor_at_head, aoc("plan", "excititor", "head:base", "--sql").out)

    assert (planned.exit_code, set(planned.slugs("error"))) == (1, {"still-used"})
    assert script.exit_code == 3
    assert "needs it" in script.err or "is in the primary key" in script.err


def test_what_was_found_may_be_used(excititor: Database, aoc: Aoc) -> None:
    """An index and NOT NULL that were there before the upgrade stay, so nobody has to give up what uses them."""
    excititor.run(f"CREATE UNIQUE INDEX {NAME} ON vex_raw (tenant, source_vendor, upstream_id, content_hash)")
    excititor.run("ALTER TABLE vex_raw ALTER tenant SET NOT NULL, ALTER source_vendor SET NOT NULL")
    excititor.run("ALTER TABLE vex_raw ALTER upstream_id SET NOT NULL, ALTER content_hash SET NOT NULL")
    excititor.run(f"ALTER TABLE vex_raw REPLICA IDENTITY USING INDEX {NAME}")
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0

    ran = aoc.json("downgrade", "excititor", "base")

    assert (ran.exit_code, ran.slugs("error")) == (0, [])
    assert excititor.value("SELECT relreplident = 'i' FROM pg_class WHERE oid = 'vex_raw'::regclass")


PARTS = {
    "replica identity": "ALTER TABLE vex_raw_a REPLICA IDENTITY USING INDEX vex_raw_a_idempotency_v1",
    "foreign key": "CREATE TABLE peers (a text, b text, c text, d text, FOREIGN KEY (a, b, c, d) "
    + PEERS.replace("vex_raw", "vex_raw_a")
    + ")",
}


@pytest.mark.parametrize("use", PARTS)
def test_a_partition_may_be_used_as_well(use: str, excititor: Database, aoc: Aoc) -> None:
    """What others have based on a partition's part of our index is found beforehand, too."""
    partition(excititor.connection, "vex_raw")
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0
    excititor.run(PARTS[use])

    ran = aoc.json(*WAYS["remove"])

    assert (ran.exit_code, set(ran.slugs("error")), ran.report["changed"]) == (1, {"still-used"}, False)
    assert "vex_raw_a" in str(ran.report["findings"]) or "peers" in str(ran.report["findings"])
    undone = "DROP TABLE peers" if use == "foreign key" else "ALTER TABLE vex_raw_a REPLICA IDENTITY DEFAULT"
    excititor.run(undone)
    assert aoc(*WAYS["remove"]).exit_code == 0


def test_an_identity_of_a_partition_stops_nothing_half_way(excititor: Database, aoc: Aoc) -> None:
    """A partition's identity over our NOT NULL is found beforehand where PostgreSQL would refuse to drop that."""
    partition(excititor.connection, "vex_raw")
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0
    excititor.run("CREATE UNIQUE INDEX rid ON vex_raw_a (tenant, id)")
    excititor.run("ALTER TABLE vex_raw_a REPLICA IDENTITY USING INDEX rid")

    ran = aoc.json(*WAYS["remove"])

    assert (ran.exit_code, ran.report["changed"]) in {(1, False), (0, True)}, ran.report["findings"]


def test_the_part_that_a_partition_had_may_be_used(excititor: Database, aoc: Aoc) -> None:
    """A partition keeps the index that it had before, so its replica identity stops nothing, and stays."""
    partition(excititor.connection, "vex_raw")
    excititor.run("CREATE UNIQUE INDEX mine ON vex_raw_a (tenant, source_vendor, upstream_id, content_hash)")
    columns = ("tenant", "source_vendor", "upstream_id", "content_hash")
    excititor.run(f"ALTER TABLE vex_raw_a {', '.join(f'ALTER {c} SET NOT NULL' for c in columns)}")
    excititor.run("ALTER TABLE vex_raw_a REPLICA IDENTITY USING INDEX mine")
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0

    ran = aoc.json(*WAYS["down"])

    assert (ran.exit_code, ran.slugs("error")) == (0, [])
    assert excititor.value("SELECT relreplident = 'i' FROM pg_class WHERE oid = 'vex_raw_a'::regclass")


def test_a_constraint_on_the_part_that_a_partition_had_is_found(excititor: Database, aoc: Aoc) -> None:
    """A foreign key made since on a partition's own index, which a twin cannot take over, is found beforehand."""
    partition(excititor.connection, "vex_raw")
    excititor.run("CREATE UNIQUE INDEX mine ON vex_raw_a (tenant, source_vendor, upstream_id, content_hash)")
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0
    excititor.run(PARTS["foreign key"])

    ran = aoc.json(*WAYS["down"])

    assert (ran.exit_code, set(ran.slugs("error")), ran.report["changed"]) == (1, {"still-used"}, False)
    excititor.run("DROP TABLE peers")
    assert aoc(*WAYS["down"]).exit_code == 0


@pytest.mark.parametrize("use", ["replica identity", "primary key"])
def test_every_script_stops_first(use: str, excititor_at_head: Database, aoc: Aoc) -> None:
    """The script of the constraints stops before any change, and what Alembic prints before it drops the index."""
    excititor_at_head.run(USES[use])
    before = fingerprint(excititor_at_head.connection, without="^$")
    applied = (ROOT / "scripts" / "apply-aoc-constraints.sql").read_text(encoding="utf-8")

    removed = psql(excititor_at_head, applied, "-v", "remove=1")

    assert (removed.exit_code, fingerprint(excititor_at_head.connection, without="^$")) == (3, before)
    printed = alembic(excititor_at_head, aoc, "downgrade", "excititor_0004:excititor_0002", "--sql").out
    assert "-- Stop if the index vex_raw_idempotency_v1 is used by others." in printed
    excititor_at_head.run("UPDATE aoc_alembic_version SET version_num = 'excititor_0004'")
    stopped = psql(excititor_at_head, printed)
    assert stopped.exit_code == 3
    assert "it is the replica identity of" in stopped.err or "is in the primary key" in stopped.err
