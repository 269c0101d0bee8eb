"""What the Steps of the swap find by themselves, where no audit came first or somebody changed the view since."""

import psycopg
import pytest

from tests.conftest import Aoc, Database, Ran
from tests.helpers import psql, wait_until
from tests.homeward import play
from tests.test_lifecycle import alembic
from tests.test_view_swap import BACKUP, fingerprint
from tests.test_view_swap_conflicts import CONFLICTS

STOPPING = ("-v", "ON_ERROR_STOP=1")
WAITS = (
    "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) "
    "WHERE NOT granted AND application_name LIKE 'aoc-migrate%'"
)


@pytest.mark.alike
@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("both names taken", f"the name {BACKUP} is taken"),
        ("a foreign view", f"it is a view already, and there is no {BACKUP}"),
        ("a view over both", f"it is a view, but not over {BACKUP} alone"),
        ("a sequence", "it is neither a table nor a view"),
    ],
)
def test_stock_alembic_stops_too(case: str, reason: str, concelier: Database, aoc: Aoc) -> None:
    """Without an audit, the Step itself says what is in the way, and what to do; so does the printed SQL."""
    concelier.run(CONFLICTS[case][0])
    aoc.configure(concelier)

    stopped = alembic(concelier, aoc, "upgrade", "head", check=False)
    printed = alembic(concelier, aoc, "upgrade", "concelier_0007:concelier_0008", "--sql").out
    ran = psql(concelier, printed, *STOPPING)
    said = 'cannot lock relation "advisory"' if case == "a sequence" else f"advisory: {reason}"

    assert stopped.exit_code != 0
    assert f"advisory cannot be replaced with a view: {reason}.\nRename or drop what is in the way" in stopped.out
    assert (ran.exit_code, said in ran.err) == (3, True), ran.err


def test_next_leads_from_a_dropped_view_to_head(concelier: Database, aoc: Aoc) -> None:
    """An upgrade tries nothing on a view that was dropped; its first choice, typed to its end, makes it again."""
    aoc.configure(concelier)
    assert aoc("upgrade").exit_code == 0
    concelier.run("DROP VIEW advisory")

    stopped = aoc.json("upgrade")
    walked = list(play(aoc, stopped.report["next"]["choices"][0]))

    assert (stopped.slugs("error"), stopped.report["next"]["command"]) == (["view-target"], "")
    assert [command.split()[1] for command, _ in walked] == ["downgrade", "upgrade", "verify"]
    assert walked[-1][1].exit_code == 0
    assert concelier.value("SELECT relkind::text FROM pg_class WHERE oid = 'advisory'::regclass") == "v"


IN_ITS_PLACE = {
    "over nothing": "CREATE VIEW advisory AS SELECT 1 AS id",
    "over more": f"CREATE VIEW advisory AS SELECT id FROM {BACKUP} UNION SELECT id FROM advisory_raw",
    "over a namesake": (
        f"CREATE SCHEMA theirs; CREATE TABLE theirs.{BACKUP} (id text); "
        f"CREATE VIEW advisory AS SELECT id FROM theirs.{BACKUP}"
    ),
}


@pytest.fixture(params=IN_ITS_PLACE)
def replaced(request: pytest.FixtureRequest, concelier: Database, aoc: Aoc) -> Database:
    """Concelier's database at head, where somebody has put another view in the place of ours."""
    aoc.configure(concelier)
    assert aoc("upgrade").exit_code == 0
    concelier.run(f"DROP VIEW advisory; {IN_ITS_PLACE[request.param]}")
    return concelier


@pytest.mark.alike
def test_another_view_is_not_dropped(replaced: Database, aoc: Aoc) -> None:
    """A downgrade drops no view but one over the backup, and takes over the privileges of no other."""
    privileges = "SELECT relname, relacl::text FROM pg_class WHERE relname ~ '^advisory' ORDER BY oid"
    before = fingerprint(replaced), replaced.rows(privileges)

    stopped = aoc.json("downgrade", "-1")
    stock = alembic(replaced, aoc, "downgrade", "-1", check=False)
    down = "concelier_0008:concelier_0007"
    printed = alembic(replaced, aoc, "downgrade", down, "--sql").out, aoc("plan", "concelier", down, "--sql").out
    scripts = [psql(replaced, text, *STOPPING) for text in printed]

    assert (stopped.exit_code, stopped.slugs("error")) == (1, ["swap-back-conflict"])
    assert "is a view, but not over" in stopped.finding("swap-back-conflict")["problem"]
    assert stock.exit_code != 0
    assert [(script.exit_code, "but not over" in script.err) for script in scripts] == [(3, True)] * 2
    assert (fingerprint(replaced), replaced.rows(privileges)) == before
    replaced.run("ALTER VIEW advisory RENAME TO theirs_now")
    assert [aoc(*words).exit_code for words in (("downgrade", "-1"), ("upgrade",))] == [0, 0]


@pytest.mark.alike
def test_another_view_is_not_repaired(replaced: Database, aoc: Aoc) -> None:
    """Where the swap was done and another view took its place since, running it again leaves that view alone."""
    replaced.run(f"ALTER TABLE {BACKUP} ENABLE ROW LEVEL SECURITY")

    for words in (("stamp", "concelier_0007"), ("upgrade", "head")):
        assert alembic(replaced, aoc, *words).exit_code == 0

    changed = "SELECT relhastriggers OR reloptions IS NOT NULL FROM pg_class WHERE oid = 'advisory'::regclass"
    assert replaced.value(changed) is False
    assert aoc.json("verify").slugs("error") == ["view-target"]


@pytest.mark.parametrize("way", ["upgrade", "downgrade"])
def test_what_came_while_we_waited_is_judged_too(way: str, concelier: Database, aoc: Aoc) -> None:
    """A view that takes the name while a Step waits for its lock is neither dropped nor taken for ours."""
    aoc.configure(concelier)
    assert aoc("upgrade", "concelier_0008" if way == "downgrade" else "concelier_0007").exit_code == 0
    dropped = "DROP VIEW advisory" if way == "downgrade" else "DROP TABLE advisory CASCADE"
    with psycopg.connect(concelier.url) as other:
        other.execute(f"{dropped}; CREATE VIEW advisory AS SELECT 1 AS id".encode())
        process = aoc.start(way, *(["-1"] if way == "downgrade" else []), "--format", "json", "--deadline", "60s")
        wait_until(lambda: concelier.value(WAITS) > 0)
    out, _ = process.communicate(timeout=60)

    ran = Ran(process.returncode, out, "")
    assert ran.exit_code != 0
    assert any("it is a view" in finding["problem"] for finding in ran.report["findings"]), ran.report["findings"]
    assert concelier.value("SELECT count(*) FROM advisory") == 1
    assert ran.report["revision"] == ("concelier_0008" if way == "downgrade" else "concelier_0007")
