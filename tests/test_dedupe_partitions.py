"""Duplicates of a partitioned table: what references a row, and what would fire when it moves."""

from tests.conftest import Aoc, Database
from tests.helpers import PINNED
from tests.partitions import LONG, partition


def test_a_key_of_several_columns_is_fine_and_a_partitions_trigger_is_not(excititor: Database, aoc: Aoc) -> None:
    """A reference to another row of the same tenant stops nothing; the trigger of one partition does."""
    partition(excititor.connection, "vex_raw")
    aoc.configure(excititor)
    for id_, tenant, content in [("1", "b", "A"), ("2", "b", "A"), ("3", "b", "B")]:
        excititor.add(id_, tenant=tenant, content_hash=content)
    excititor.run(
        "CREATE TABLE notes (tenant text, about text, hash text, "
        "FOREIGN KEY (tenant, about, hash) REFERENCES vex_raw (tenant, id, content_hash)); "
        "INSERT INTO notes VALUES ('b', '3', 'B')"
    )
    free = aoc.json("dedupe")
    excititor.run("INSERT INTO notes VALUES ('b', '2', 'A')")
    named = aoc.json("dedupe")
    excititor.run(
        f"TRUNCATE notes; CREATE FUNCTION feed() {PINNED} 'BEGIN RETURN OLD; END'; "
        f"CREATE TRIGGER feeding BEFORE DELETE ON {LONG} FOR EACH ROW EXECUTE FUNCTION feed()"
    )
    fired = aoc.json("dedupe", "--apply")

    assert (free.slugs("error"), named.slugs("error"), fired.slugs("error")) == (
        [],
        ["move-referenced"],
        ["move-trigger"],
    )
    assert named.finding("move-referenced")["rows"] == 1
    assert aoc("dedupe", "--apply", "--accept", "move-trigger:feeding").exit_code == 0
    assert excititor.rows("SELECT id FROM vex_raw_quarantine") == [("2",)]
    assert aoc("dedupe", "--restore", "--apply", "--accept", "move-trigger:feeding").exit_code == 0
