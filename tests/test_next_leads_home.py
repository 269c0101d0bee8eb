"""From every state, whoever types what ``next`` says, again and again, ends at a verified head."""

from collections.abc import Callable

import psycopg
import pytest

from tests.conftest import Aoc, Database
from tests.helpers import PINNED, fill, wait_until
from tests.homeward import play

Start = Callable[[Database, Aoc], str]


def make_dirty(database: Database, aoc: Aoc) -> str:
    """Rows that break rules, duplicates, and links to be set."""
    fill(database, 20)
    database.add("a", tenant=None)
    database.add("b", source={"severity": "low"})
    database.add("c", content_hash="same")
    database.add("d", content_hash="same", retrieved_at="2025-01-02T00:00:00Z")
    return "aoc-migrate audit concelier"


def make_clean(database: Database, aoc: Aoc) -> str:
    """Nothing but links to be set."""
    fill(database, 20)
    return "aoc-migrate audit concelier"


def at_0004(database: Database, aoc: Aoc) -> str:
    """The guide's first stage."""
    fill(database, 20)
    return "aoc-migrate upgrade concelier concelier_0004"


def at_head(database: Database, aoc: Aoc) -> None:
    """Upgrade to head."""
    fill(database, 20)
    assert aoc("upgrade", "concelier", AOC_ALLOW_SUPERSEDES_RETROFIT="true").exit_code == 0


def held(database: Database, aoc: Aoc) -> str:
    """Held after a downgrade."""
    at_head(database, aoc)
    assert aoc("downgrade", "concelier", "-1").exit_code == 0
    return "aoc-migrate upgrade concelier"


def held_and_dirty(database: Database, aoc: Aoc) -> str:
    """Held without constraints, and a bad row has arrived."""
    at_head(database, aoc)
    assert aoc("constraints", "concelier", "--remove").exit_code == 0
    database.add("bad", tenant=" ")
    return "aoc-migrate upgrade concelier"


def without_a_constraint(database: Database, aoc: Aoc) -> str:
    """Somebody dropped a constraint."""
    at_head(database, aoc)
    database.run("ALTER TABLE advisory_raw DROP CONSTRAINT advisory_raw_keys_v1")
    return "aoc-migrate verify concelier"


def with_a_broken_chain(database: Database, aoc: Aoc) -> str:
    """Somebody changed a link."""
    at_head(database, aoc)
    database.run("UPDATE advisory_raw SET supersedes = 'nothing' WHERE id = 'r3'")
    return "aoc-migrate verify concelier"


def killed(database: Database, aoc: Aoc, *words: str) -> None:
    """Kill a command that waits for a reader of both tables."""
    with psycopg.connect(database.url) as reader:
        reader.execute("SELECT FROM advisory_raw, advisory LIMIT 1")
        process = aoc.start(*words)
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
        wait_until(lambda: bool(database.value(waiting)))
        process.kill()
        process.communicate()


def amid_an_upgrade(database: Database, aoc: Aoc) -> str:
    """An upgrade was killed half way."""
    fill(database, 20)
    killed(database, aoc, "upgrade", "concelier", "concelier_0004")
    return "aoc-migrate status concelier"


def amid_a_downgrade(database: Database, aoc: Aoc) -> str:
    """A downgrade was killed half way."""
    at_head(database, aoc)
    killed(database, aoc, "downgrade", "concelier", "-2")
    return "aoc-migrate status concelier"


def amid_a_dedupe(database: Database, aoc: Aoc) -> str:
    """A dedupe was cancelled half way."""
    make_dirty(database, aoc)
    database.run(
        f"CREATE FUNCTION slow() {PINNED} 'BEGIN PERFORM pg_sleep(30); RETURN OLD; END';"
        "CREATE TRIGGER slow BEFORE DELETE ON advisory_raw FOR EACH ROW EXECUTE FUNCTION slow()"
    )
    process = aoc.start("dedupe", "concelier", "--apply", "--accept", "move-trigger:slow")
    busy = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    wait_until(lambda: bool(database.value(f"SELECT count(*) {busy}")))
    process.kill()
    database.run(f"SELECT pg_terminate_backend(pid) {busy}")
    process.communicate()
    database.run("DROP TRIGGER slow ON advisory_raw")
    return "aoc-migrate status concelier"


def amid_a_downgrade_unaware(database: Database, aoc: Aoc) -> str:
    """A downgrade was killed half way, and somebody verifies."""
    amid_a_downgrade(database, aoc)
    return "aoc-migrate verify concelier"


def amid_a_dedupe_unaware(database: Database, aoc: Aoc) -> str:
    """A dedupe was cancelled half way, and somebody audits."""
    amid_a_dedupe(database, aoc)
    return "aoc-migrate audit concelier"


def with_a_broken_chain_unallowed(database: Database, aoc: Aoc) -> str:
    """Somebody changed a link, and links it again without the variable that allows that."""
    with_a_broken_chain(database, aoc)
    return "aoc-migrate chain concelier --apply"


STARTS: list[Start] = [
    amid_a_downgrade_unaware,
    amid_a_dedupe_unaware,
    with_a_broken_chain_unallowed,
    amid_an_upgrade,
    amid_a_downgrade,
    amid_a_dedupe,
    make_dirty,
    make_clean,
    at_0004,
    held,
    held_and_dirty,
    without_a_constraint,
    with_a_broken_chain,
]


@pytest.mark.alike
@pytest.mark.parametrize("start", STARTS)
def test_next_leads_home(start: Start, concelier: Database, aoc: Aoc) -> None:
    """From this state, at most twelve commands end at a verified head."""
    aoc.configure(concelier)

    played = list(zip(range(12), play(aoc, start(concelier, aoc)), strict=False))

    commands = [(command, ran.exit_code, ran.report["next"]) for _, (command, ran) in played]
    last, ran = played[-1][1]
    assert (last, ran.exit_code, ran.report["revision"]) == (
        "aoc-migrate verify concelier",
        0,
        "concelier_0008",
    ), commands
    assert "held" not in ran.slugs()


def test_each_target_is_led_home(concelier: Database, excititor: Database, aoc: Aoc) -> None:
    """Where one target is dirty and the other clean, each report leads its own target home."""
    aoc.configure(concelier, excititor)
    make_clean(concelier, aoc)
    excititor.add("bad", tenant="")

    first = aoc.json("audit")
    assert first.exit_code == 1
    for report in first.json["reports"]:
        played = [*zip(range(12), play(aoc, report["next"]["command"]), strict=False)]
        last, ran = played[-1][1]
        assert (last.removesuffix(f" {report['target']}"), ran.exit_code) == ("aoc-migrate verify", 0)


@pytest.mark.alike
@pytest.mark.parametrize("make", [make_clean, make_dirty])
def test_an_upgrade_of_all_targets_leads_all_home(
    make: Start, concelier: Database, excititor: Database, aoc: Aoc
) -> None:
    """From an upgrade without a target, both targets arrive; a report says which target had no turn yet."""
    aoc.configure(concelier, excititor)
    make(concelier, aoc)
    excititor.add("bad", tenant="")

    played = [ran for _, (_, ran) in zip(range(20), play(aoc, "aoc-migrate upgrade"), strict=False)]

    (first,) = played[0].json["reports"]
    assert first["next"]["note"] == "excititor was not touched."
    assert len(played) < 20
    assert played[-1].exit_code == 0
    status = aoc.json("status").json["reports"]
    assert [report["revision"] for report in status] == ["concelier_0008", "excititor_0007"]


def test_a_hold_is_the_verdict(concelier: Database, aoc: Aoc) -> None:
    """Under a hold an upgrade that changes nothing exits 0, and its verdict is HELD."""
    aoc.configure(concelier)
    held(concelier, aoc)

    ran = aoc("upgrade", "concelier")

    assert ran.exit_code == 0
    assert "HELD upgrade concelier: nothing changed" in ran.out
    assert "PASSED" not in ran.out


def test_next_has_the_options_that_were_typed(concelier: Database, aoc: Aoc) -> None:
    """The command to run again has its revision and options, quoted, and not those on output."""
    aoc.configure(concelier)
    concelier.run("ALTER TABLE advisory_raw DROP COLUMN linkset")
    words = (
        "concelier_0004",
        "--accept",
        "foreign-code:a b",
        "--max-stall",
        "50ms",
        "--limit",
        "9",
        "--no-create",
    )

    following = aoc.json("upgrade", *words).report["next"]

    assert following["command"] == (
        "aoc-migrate upgrade concelier concelier_0004 --no-create --accept 'foreign-code:a b' --max-stall 50ms"
    )
