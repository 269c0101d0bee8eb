"""What others have based on our index or on our NOT NULL is found before a rollback changes anything."""

import pytest

from tests.conftest import Aoc, Database
from tests.copies import made_once
from tests.helpers import psql

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
    assert aoc("verify").exit_code == 0
    (remedy, *_) = (f["help"] for f in ran.report["findings"] if f["slug"] == "still-used")
    excititor_at_head.run(AGAIN.get(use) or remedy.partition("run: ")[2])
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
