"""The statements of the backfill, as a procedure runs them: with EXECUTE and its own placeholders."""

from aoc_migrate.contract.v1 import VEX_RAW
from aoc_migrate.database.bookkeeping import JOURNAL, STATE, create_bookkeeping
from aoc_migrate.database.relation import Schema
from aoc_migrate.operations.supersedes.statements import batch, begin, done, repair, set_back, wrong_links
from tests.conftest import Database
from tests.helpers import fill
from tests.helpers import wrong_links as wrong

AT = Schema("public")


def loop(statement: str, using: str, until: str) -> str:
    """Return a block that executes a statement over and over, each time in a transaction of its own."""
    return f"""DO $aoc$
DECLARE page record;
BEGIN
  LOOP
    EXECUTE $sql${statement}$sql$ INTO page USING {using};
    EXIT WHEN page.seen {until};
    COMMIT;
  END LOOP;
END $aoc$"""


def test_the_statements_work_in_a_procedure(excititor: Database) -> None:
    """Batches, the repair of what a scan found and the way back do in a procedure what they do online."""
    fill(excititor, 100)
    excititor.run(f"ALTER TABLE vex_raw ADD supersedes text; {create_bookkeeping(AT, STATE, JOURNAL)}")
    excititor.run(begin(VEX_RAW, AT, "walk"))

    excititor.run(loop(batch(VEX_RAW, AT, "walk", size="$1"), "7", "< 7"))
    walked, state = wrong(excititor), "SELECT (value->>'rows')::int FROM aoc_migration_state"
    excititor.run("UPDATE vex_raw SET supersedes = 'nowhere' WHERE id IN ('r11', 'r12', 'r20')")
    excititor.run(f"""DO $aoc$
DECLARE found record;
BEGIN
  SELECT array_agg(id) AS ids, array_agg(old) AS olds, array_agg(expected) AS expecteds INTO found
  FROM ({wrong_links(VEX_RAW, AT["vex_raw"])}) AS w;
  EXECUTE $sql${repair(VEX_RAW, AT, "walk", "$1", "$2", "$3")}$sql$
    USING found.ids, found.olds, found.expecteds;
END $aoc$""")
    excititor.run(done(AT, "walk"))
    repaired, rows = wrong(excititor), excititor.value(state)
    excititor.run("UPDATE vex_raw SET supersedes = 'since' WHERE id = 'r14'")
    excititor.run(loop(set_back(VEX_RAW, AT, "walk", size="$1"), "9", "= 0"))

    assert (walked, repaired, rows, excititor.value(state)) == (0, 0, 79 + 3, 0)
    assert excititor.rows("SELECT id, supersedes FROM vex_raw WHERE supersedes IS NOT NULL ORDER BY id") == [
        ("r11", "nowhere"),
        ("r12", "nowhere"),
        ("r14", "since"),
        ("r20", "nowhere"),
    ]
