"""`plan --sql`: the script refuses what the command refuses, waits as it does, and may be run again."""

import threading

import psycopg
import pytest

from aoc_migrate.database.runner_lock import lock_key
from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint
from tests.helpers import PINNED, fill, psql, wait_until


def script(target: str, words: str, *more: str, **environment: str) -> str:
    """Return the script for FROM:TO."""
    ran = Aoc()("plan", target, words, "--sql", *more, **environment)
    assert ran.exit_code == 0, ran.err
    return ran.out


def test_a_script_from_an_unreached_revision_is_refused(excititor: Database) -> None:
    """A script from a revision that the database has not reached changes nothing."""
    before = fingerprint(excititor.connection, without="^$")

    ran = psql(excititor, script("excititor", "excititor_0003:head"))

    assert ran.exit_code == 3
    assert "the database is at base; this script starts from excititor_0003" in ran.err
    assert fingerprint(excititor.connection, without="^$") == before


def test_the_other_targets_script_is_refused(excititor: Database, aoc: Aoc) -> None:
    """Concelier's script is refused in excititor's history."""
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0002").exit_code == 0

    ran = psql(excititor, script("concelier", "base:head"))

    assert ran.exit_code == 3
    assert "history of another target" in ran.err


def test_rows_without_links_need_the_retrofit_variable(target_with_chain: Database) -> None:
    """Rows that need a link stop the script at its beginning, until -v retrofit=1 allows it."""
    before = fingerprint(target_with_chain.connection, without="^$")
    printed = script(target_with_chain.target, "base:head")

    refused = psql(target_with_chain, printed)
    state = fingerprint(target_with_chain.connection, without="^$")
    allowed = psql(target_with_chain, printed, "-v", "retrofit=1")

    assert refused.exit_code == 3
    assert (
        f"2 rows of {target_with_chain.table} need a supersedes link: allow it with -v retrofit=1" in refused.err
    )
    assert state == before
    assert allowed.exit_code == 0, allowed.err
    assert target_with_chain.value(f"SELECT count(supersedes) FROM {target_with_chain.table}") == 2


def test_content_is_audited_first(excititor: Database) -> None:
    """A forbidden key in a document's envelope stops the script at its beginning; its value is not shown."""
    excititor.add("bad", content={"effective_status": "planted-secret"})
    before = fingerprint(excititor.connection, without="^$")

    ran = psql(excititor, script("excititor", "base:head"), "-v", "retrofit=1")

    assert ran.exit_code == 3
    assert "1 rows of vex_raw break vex_raw_content_v1" in ran.err
    assert "planted-secret" not in ran.out + ran.err
    assert fingerprint(excititor.connection, without="^$") == before


def test_long_keys_are_audited_first(excititor: Database) -> None:
    """A row whose keys no index can hold stops the script at its beginning."""
    excititor.add("bad", upstream_id="u" * 2640)
    before = fingerprint(excititor.connection, without="^$")

    ran = psql(excititor, script("excititor", "base:head"), "-v", "retrofit=1")

    assert ran.exit_code == 3
    assert '1 rows of vex_raw break vex_raw_keys_v1, for example id "bad"' in ran.err
    assert fingerprint(excititor.connection, without="^$") == before


def test_a_swap_conflict_stops_the_script(concelier: Database) -> None:
    """What the swap would break silently stops the script, unless it is accepted."""
    concelier.run("CREATE FUNCTION titled(a advisory) RETURNS text LANGUAGE sql AS 'SELECT a.title'")
    printed = script("concelier", "base:head")

    refused, accepted = psql(concelier, printed), psql(concelier, printed, "-v", "accept=swap-conflict:titled")

    assert refused.exit_code == 3
    assert "the swap of advisory would break function titled" in refused.err
    assert accepted.exit_code == 0, accepted.err


def test_a_trigger_stops_the_script(excititor: Database) -> None:
    """A trigger that the backfill would fire stops the script, unless it is accepted."""
    excititor.add("1")
    excititor.add("2", retrieved_at="2025-01-02T00:00:00Z")
    excititor.run(
        f"CREATE FUNCTION feed() {PINNED} 'BEGIN RETURN NEW; END'; "
        "CREATE TRIGGER feeding BEFORE UPDATE ON vex_raw FOR EACH ROW EXECUTE FUNCTION feed()"
    )
    printed, retrofit = script("excititor", "base:head"), ("-v", "retrofit=1")

    refused = psql(excititor, printed, *retrofit)
    accepted = psql(excititor, printed, *retrofit, "-v", "accept=update-trigger:feeding")

    assert refused.exit_code == 3
    assert "would fire trigger feeding" in refused.err
    assert accepted.exit_code == 0, accepted.err


def test_a_script_waits_for_another_run(excititor: Database) -> None:
    """While another run holds the lock the script waits, for --lock-wait, and then changes nothing."""
    before = fingerprint(excititor.connection, without="^$")
    excititor.run("SELECT pg_advisory_lock(%s::bigint)", [lock_key("excititor", "public")])

    ran = psql(excititor, script("excititor", "base:head", "--lock-wait", "1s"))

    assert ran.exit_code == 3
    assert "another run holds the lock" in ran.err
    assert fingerprint(excititor.connection, without="^$") == before


def test_a_blocked_step_tries_again(excititor: Database) -> None:
    """A strong step gives way to a reader of the table, names it, and tries again until it is gone."""
    with psycopg.connect(excititor.url, application_name="reader of long texts") as reader:
        reader.execute("SELECT FROM vex_raw")
        ran = []
        worker = threading.Thread(
            target=lambda: ran.append(psql(excititor, script("excititor", "base:excititor_0002")))
        )
        worker.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE %s AND wait_event = 'PgSleep'"
        wait_until(lambda: excititor.value(waiting, ["aoc-migrate psql upgrade%"]) == 1)
        reader.rollback()
        worker.join()

    assert ran[0].exit_code == 0, ran[0].err
    assert "an attempt gave up (canceling statement due to lock timeout). Locked by pid" in ran[0].err
    assert "reader of long texts" in ran[0].err


def test_a_script_gives_up_at_the_deadline(excititor: Database) -> None:
    """Past --deadline the script ends with 3 and names the blocker; finished steps are kept."""
    printed = script("excititor", "base:excititor_0002", "--deadline", "1s", "--max-stall", "50ms")
    with psycopg.connect(excititor.url, application_name="long reader") as reader:
        reader.execute("SELECT FROM vex_raw")

        ran = psql(excititor, printed)

    assert ran.exit_code == 3
    assert "vex_raw: gave up" in ran.err
    assert "long reader" in ran.err
    assert psql(excititor, printed).exit_code == 0


def test_a_downgrade_script_leaves_a_hold(target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """A downgrade by script leaves the hold and the ledger that the command leaves."""
    assert aoc("upgrade", target_with_chain.target, **retrofit).exit_code == 0
    last, down = (
        f"{target_with_chain.target}_{n:04d}" for n in (8 - (target_with_chain.target == "excititor"), 5)
    )

    ran = psql(target_with_chain, script(target_with_chain.target, f"{last}:{down}"))

    assert ran.exit_code == 0, ran.err
    held = aoc.json("upgrade", target_with_chain.target)
    assert held.slugs() == ["held"]
    assert held.report["revision"] == down
    newest = aoc.json("history", target_with_chain.target).report["facts"]["runs"][0]
    assert (newest["command"], newest["outcome"], newest["revision"]) == (f"psql downgrade {down}", "done", down)


@pytest.mark.parametrize("schema", ["odd schema", 'quo"ted', "it's", "a<schema>b'<schema>"])
def test_a_script_works_in_any_schema(excititor: Database, schema: str) -> None:
    """The script works in a schema of any name, from the environment or by -v schema."""
    quoted = '"' + schema.replace('"', '""') + '"'
    excititor.run(f"CREATE SCHEMA {quoted}")
    known = {"EXCITITOR_DATABASE_SCHEMA": schema}

    ran = psql(excititor, script("excititor", "base:excititor_0004", **known))
    again = psql(excititor, script("excititor", "excititor_0004:head"), "-v", f"schema={schema}")

    assert (ran.exit_code, again.exit_code) == (0, 0), ran.err + again.err
    assert excititor.value(f"SELECT version_num FROM {quoted}.aoc_alembic_version") == "excititor_0007"
    assert excititor.value("SELECT to_regclass('public.aoc_alembic_version')") is None


def test_verify_is_clean_after_the_script(target_with_chain: Database, aoc: Aoc) -> None:
    """After the script, verify finds nothing, `upgrade` has nothing to do, and no revision counts as edited."""
    fill(target_with_chain, 5000)
    ran = psql(target_with_chain, script(target_with_chain.target, "base:head"), "-v", "retrofit=1")
    assert ran.exit_code == 0, ran.err

    assert aoc.json("verify", target_with_chain.target, "--probe").slugs() == []
    assert aoc.json("upgrade", target_with_chain.target).report["changed"] is False


def test_running_it_again_changes_nothing(target_with_chain: Database) -> None:
    """At its goal the script says so, and does nothing."""
    printed = script(target_with_chain.target, "base:head")
    assert psql(target_with_chain, printed, "-v", "retrofit=1").exit_code == 0
    before = fingerprint(target_with_chain.connection, without="^$")

    ran = psql(target_with_chain, printed)

    assert (ran.exit_code, ran.out) == (0, f"{target_with_chain.target} is already there: nothing to do\n")
    assert fingerprint(target_with_chain.connection, without="^$") == before
