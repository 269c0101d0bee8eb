"""A rehearsal that was interrupted goes on from where it was, and compares with the state before it began."""

import signal
import subprocess
from pathlib import Path

import psycopg
import pytest

from aoc_migrate.database.runner_lock import lock_key
from aoc_migrate.sandbox.server import find_binaries
from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint
from tests.helpers import fill, wait_until
from tests.rehearsals import OTHERS, copy_of, facts, rehearse, sample, stopped_in, words

LEFT = {
    "upgrade": "at concelier_0003, not under a hold",
    "downgrade": "under a hold",
    "second upgrade": "at concelier_0003, not under a hold",
}


@pytest.fixture
def copy(concelier: Database) -> Database:
    """A copy of concelier before any revision."""
    fill(concelier, 50)
    return concelier


@pytest.mark.alike
@pytest.mark.parametrize("phase", LEFT)
def test_killed_in_a_phase_it_goes_on(phase: str, copy: Database, aoc: Aoc) -> None:
    """Killed in any phase that changes something, the same command ends the rehearsal, with all of its phases."""
    before = set(fingerprint(copy.connection))
    with stopped_in(aoc, copy, phase, signal.SIGKILL) as (code, _):
        assert code == -signal.SIGKILL

    ran = rehearse(aoc, copy)

    assert (ran.exit_code, facts(ran)["way_back"], facts(ran)["from_revision"]) == (0, "exact", "base"), ran.err
    assert f"interrupted in its phase {phase}" in ran.err
    ended = [each["phase"] for each in facts(ran)["phases"]]
    assert ended[0] == "audit"
    assert ended[-4:] == ["verify after upgrade", "downgrade", "second upgrade", "verify after second upgrade"]
    assert copy.value("SELECT to_regclass('aoc_rehearsal')") is None
    aoc.configure(copy)
    assert aoc("downgrade", "concelier", "base").exit_code == 0
    assert {line for line in fingerprint(copy.connection) if ".supersedes |" not in line} == before


@pytest.mark.alike
@pytest.mark.parametrize("phase", LEFT)
def test_ended_by_a_signal_it_says_how_the_copy_is_left(phase: str, copy: Database, aoc: Aoc) -> None:
    """SIGTERM ends it with the phase, the revision, the hold, and that the same command goes on."""
    with stopped_in(aoc, copy, phase, signal.SIGTERM) as (code, log):
        assert code == 143

    assert f"The rehearsal ended in the phase `{phase}`. The copy {copy.connection.info.dbname} is at" in log
    assert LEFT[phase] in log
    assert "Run the same command again: it goes on from there" in log
    assert rehearse(aoc, copy).exit_code == 0


def test_what_others_changed_meanwhile_is_seen(copy: Database, aoc: Aoc) -> None:
    """The state before the first change is what counts, also after an interruption: a change since is an error."""
    with stopped_in(aoc, copy, "downgrade", signal.SIGKILL):
        copy.run("UPDATE advisory_raw SET content = '{\"secret\": 1}' WHERE id = 'r4'; CREATE TABLE late (n int)")

    ran = rehearse(aoc, copy)

    assert (ran.exit_code, facts(ran)["way_back"]) == (4, "differs"), ran.err
    assert sample(ran)["relation public.late"]["change"] == "added"
    assert sample(ran)["rows of public.advisory_raw"] == {
        "object": "rows of public.advisory_raw",
        "change": "changed",
        "at_least": 1,
    }


def test_the_way_back_is_known_after_the_second_upgrade_was_interrupted(copy: Database, aoc: Aoc) -> None:
    """What the comparison said is remembered: the resumed rehearsal reports the way back and what is kept."""
    with stopped_in(aoc, copy, "second upgrade", signal.SIGKILL):
        copy.add("late")

    ran = rehearse(aoc, copy)

    assert (ran.exit_code, facts(ran)["way_back"]) == (0, "exact")
    assert "column public.advisory_raw.supersedes" in facts(ran)["kept"]


def test_a_hold_of_the_copy_is_remembered(copy: Database, aoc: Aoc) -> None:
    """A rehearsal that released a hold says so after an interruption too: the upgrade itself will need that."""
    assert rehearse(aoc, copy, "--no-second-upgrade").exit_code == 0
    with stopped_in(aoc, copy, "upgrade", signal.SIGKILL):
        assert copy.value("SELECT count(*) FROM aoc_migration_hold") == 0

    ran = rehearse(aoc, copy)

    assert (ran.exit_code, "downgrade base" in ran.finding("copy-held")["problem"]) == (0, True)
    assert ran.report["next"]["choices"][0].endswith("--release-hold")


def test_two_rehearsals_do_not_mix(copy: Database, aoc: Aoc) -> None:
    """While a rehearsal runs, another one on the same copy ends with exit code 3."""
    with psycopg.connect(copy.url, autocommit=True) as first:
        key = lock_key("rehearse concelier", "public")
        first.execute("SELECT pg_advisory_lock(%s::bigint)", [key])

        ran = aoc(*words(copy), **copy_of(copy))

    assert (ran.exit_code, "Another rehearsal runs on this copy" in ran.err) == (3, True)


def test_a_stall_before_an_interruption_counts(copy: Database, aoc: Aoc) -> None:
    """The verdict of a resumed rehearsal has the longest stall of the phases that ended before as well."""
    with stopped_in(aoc, copy, "second upgrade", signal.SIGKILL):
        copy.run("UPDATE aoc_rehearsal SET phases = jsonb_set(phases, '{1,longest_stall_ms}', '9300')")

    refused = rehearse(aoc, copy, "--no-second-upgrade")
    ran = aoc(*words(copy), **copy_of(copy))

    assert (refused.exit_code, "finish it without --no-second-upgrade" in refused.err) == (2, True)
    assert (ran.exit_code, "longest stall 9.3 s" in ran.out) == (0, True), ran.out


@pytest.mark.alike
@pytest.mark.parametrize("part", ["before = '[]'", "before = '{}'", "phases = '[{}]'", "phases = '[1]'"])
def test_a_damaged_record_is_refused(part: str, copy: Database, aoc: Aoc) -> None:
    """A record that is not as a rehearsal writes it is refused in one sentence, which says what to do."""
    with stopped_in(aoc, copy, "downgrade", signal.SIGKILL):
        copy.run(f"UPDATE aoc_rehearsal SET {part}")

    ran = rehearse(aoc, copy)

    assert ran.exit_code == 2
    assert "remembers of a rehearsal is damaged. Restore the copy; or drop the table." in ran.err


def test_a_table_of_its_name_is_not_trusted(copy: Database, aoc: Aoc) -> None:
    """A table that somebody else made under the name of the rehearsal's own stops it, and is left alone."""
    copy.run("CREATE TABLE aoc_rehearsal (phase text)")
    before = fingerprint(copy.connection, without="^$")

    ran = rehearse(aoc, copy)

    assert (ran.exit_code, ran.slugs("error")) == (1, ["foreign-object"])
    assert fingerprint(copy.connection, without="^$") == before


def test_its_table_is_private(copy: Database, aoc: Aoc) -> None:
    """What a rehearsal remembers on the copy is for its owner alone, whatever the default privileges are."""
    copy.run("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC")
    with stopped_in(aoc, copy, "upgrade", signal.SIGKILL):
        rights = (
            "SELECT has_table_privilege('public', 'aoc_rehearsal', 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')"
        )
        assert copy.value(rights) is False

    assert aoc(*words(copy), **copy_of(copy)).exit_code == 0


def test_killed_before_it_changes_anything_it_leaves_nothing(copy: Database, aoc: Aoc) -> None:
    """Killed during the audit, a rehearsal leaves nothing on the copy, and the next one begins from the start."""
    before = fingerprint(copy.connection, without="^$")
    with psycopg.connect(copy.url) as holder:
        holder.execute("LOCK TABLE advisory_raw")
        with aoc.start(*words(copy), **copy_of(copy)) as process:
            wait_until(lambda: bool(copy.value("SELECT count(*) FROM pg_locks WHERE NOT granted")))
            process.kill()
    wait_until(lambda: copy.value(OTHERS) == 0)

    assert fingerprint(copy.connection, without="^$") == before
    assert facts(rehearse(aoc, copy))["phases"][0]["phase"] == "audit"


@pytest.mark.alike
@pytest.mark.parametrize("phase", LEFT)
def test_a_copy_that_was_restored_meanwhile_is_refused(
    phase: str, copy: Database, aoc: Aoc, tmp_path: Path
) -> None:
    """A record of other tables is not used: after `pg_restore --clean`, nothing is said of rows never compared."""
    dump, binaries = str(tmp_path / "dump"), str(find_binaries())
    subprocess.run([f"{binaries}/pg_dump", "-Fc", "-f", dump, copy.url], check=True)
    with stopped_in(aoc, copy, phase, signal.SIGKILL):
        pass
    before = copy.value("SELECT oid FROM pg_class WHERE relname = 'advisory_raw'")
    clean = [f"{binaries}/pg_restore", "--clean", "--if-exists", "-d", copy.url, dump]
    subprocess.run(clean, check=False, capture_output=True)  # it stumbles over what the upgrade has made
    assert copy.value("SELECT oid FROM pg_class WHERE relname = 'advisory_raw'") != before

    ran = rehearse(aoc, copy)

    assert (ran.exit_code, ran.out) == (2, "")
    assert "The copy was restored since the rehearsal" in ran.err
    copy.run(ran.err.strip().rpartition("type: ")[2])
    assert "interrupted" not in rehearse(aoc, copy).err
