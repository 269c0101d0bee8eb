"""What a rehearsal refuses: the configured databases, a copy of another name, copies that cannot be written."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.conftest import Aoc, Database
from tests.faults.pair import Pair, pair
from tests.faults.scenarios import fill as fill_table
from tests.fingerprint import fingerprint
from tests.helpers import fill
from tests.rehearsals import copy_of, facts, in_phase, rehearse, words
from tests.servers import running_server

PASSWORD = "cänary/pass word"


@pytest.fixture
def copy(concelier: Database) -> Database:
    """A copy of concelier before any revision."""
    fill(concelier, 20)
    return concelier


def unchanged(copy: Database) -> bool:
    """Return whether nothing of ours is in the database."""
    return not [line for line in fingerprint(copy.connection, without="^$") if "aoc_" in line]


@pytest.mark.parametrize("variable", ["CONCELIER_DATABASE_URL", "EXCITITOR_DATABASE_URL"])
def test_a_configured_database_is_no_copy(variable: str, copy: Database, aoc: Aoc) -> None:
    """The target's own database and the other target's are refused, also if the URL is written differently."""
    info = copy.connection.info
    other = f"host=localhost port={info.port} dbname={info.dbname} user={info.user} password={info.password}"

    ran = rehearse(aoc, copy, **{variable: other, "EXCITITOR_DATABASE_SCHEMA": "elsewhere"})

    assert (ran.exit_code, ran.out) == (2, "")
    assert f"AOC_COPY_URL and {variable} lead to the same database" in ran.err
    assert unchanged(copy)


def test_another_database_is_a_copy(copy: Database, excititor: Database, aoc: Aoc) -> None:
    """A configured target in another database of the same server is no obstacle."""
    aoc.configure(excititor)

    assert rehearse(aoc, copy, "--no-second-upgrade").exit_code == 0


def test_a_target_that_cannot_be_reached_leaves_a_doubt(copy: Database, aoc: Aoc) -> None:
    """If a configured database cannot be asked, the rehearsal does not begin, and says what to do."""
    ran = rehearse(aoc, copy, CONCELIER_DATABASE_URL="postgresql://nobody@127.0.0.1:1/concelier")

    assert (ran.exit_code, ran.slugs("error"), unchanged(copy)) == (3, ["copy-in-doubt"], True)
    assert "unset it" in ran.finding("copy-in-doubt")["help"]


def test_another_name_is_refused(copy: Database, aoc: Aoc) -> None:
    """A database that is not called what --copy-is says is refused, with both names."""
    ran = aoc("rehearse", "concelier", "--copy-is", "concelier_copy", **copy_of(copy))

    assert (ran.exit_code, ran.out, unchanged(copy)) == (2, "", True)
    assert copy.connection.info.dbname in ran.err
    assert "'concelier_copy'" in ran.err


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (("rehearse", "--copy-is", "x"), "Name one target"),
        (("rehearse", "concelier"), "--copy-is"),
        (("rehearse", "concelier", "--copy-is", "x", "--free-space", "20"), "is not a size"),
        (("rehearse", "concelier", "--copy-is", "x", "--free-space", "-1GB"), "is not a size"),
        (("rehearse", "concelier", "--copy-is", "x", "--free-space", "9" * 400 + "GB"), "is not a size"),
        (("upgrade", "concelier", "--max-lag", "9" * 400 + "GB"), "is not a lag"),
        (("rehearse", "concelier", "--copy-is", "x"), "set AOC_COPY_URL"),
        (
            ("rehearse", "concelier", "--copy-is", "x", "--copy", "postgresql://u:se/cret@h/d"),
            "is not a PostgreSQL URL",
        ),
        (("rehearse", "concelier", "--copy-is", "x", "postgresql://u:secret@h/d"), "A URL is not an argument"),
        (("rehearse", "concelier", "head", "--copy-is", "x"), "Unexpected argument"),
    ],
)
def test_wrong_usage_is_refused(typed: tuple[str, ...], says: str, aoc: Aoc) -> None:
    """What is missing or wrong on the command line is said in one sentence, without the URL."""
    ran = aoc(*typed)

    assert (ran.exit_code, ran.out) == (2, "")
    assert says in ran.err
    assert "cret" not in ran.err


def test_the_url_may_be_in_a_file(copy: Database, aoc: Aoc, tmp_path: Path) -> None:
    """AOC_COPY_URL_FILE names a file with the URL, as for the targets; both variables together are refused."""
    file = tmp_path / "url"
    file.write_text(copy.url + "\n", encoding="utf-8")

    both = aoc(*words(copy), AOC_COPY_URL_FILE=str(file), AOC_COPY_URL=copy.url)
    ran = aoc.json(*words(copy), AOC_COPY_URL_FILE=str(file))

    assert (both.exit_code, "both set" in both.err) == (2, True)
    assert ran.slugs("error") == ["retrofit-not-allowed"]


def test_the_password_appears_nowhere(copy: Database, aoc: Aoc) -> None:
    """Neither reports nor logs have the URL or its password, wherever it came from and however the run ends."""
    role = f"rehearser_{copy.connection.info.backend_pid}"
    copy.run(f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
    url = copy.url_as(role, PASSWORD)
    seen = ""
    for form in ("table", "json", "ndjson", "markdown", "html"):
        typed = words(copy, "--format", form, "--copy", url, "--free-space", "1kB")
        runs = [aoc(*typed), aoc(*typed, AOC_ALLOW_SUPERSEDES_RETROFIT="true", AOC_LOG_FORMAT="json")]
        runs.append(
            aoc(*words(copy, "--format", form, "--copy", url.replace(copy.connection.info.dbname, "none")))
        )
        runs.append(aoc("rehearse", "concelier", "--copy-is", "none", "--format", form, "--copy", url))
        seen += "".join(ran.out + ran.err for ran in runs)
        assert [ran.exit_code for ran in runs] == [1, 1, 3, 2]
    done = aoc(
        "rehearse",
        "concelier",
        *words(copy)[2:],
        "--copy",
        url,
        AOC_ALLOW_SUPERSEDES_RETROFIT="true",
        AOC_DEBUG="1",
    )
    ledger = copy.value("SELECT string_agg(l::text, ' ') FROM aoc_migration_log AS l")

    assert done.exit_code == 0
    secrets = (PASSWORD, url, url.partition("@")[0].rpartition(":")[2], "cänary")
    assert [secret for secret in secrets if secret in seen + done.out + done.err + ledger] == []
    assert seen.count("Set AOC_COPY_URL first") >= 9
    copy.run(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def test_a_role_that_only_reads_is_refused(copy: Database, aoc: Aoc) -> None:
    """A copy whose role starts every transaction read-only is refused, and nothing changes."""
    role = f"reads_{copy.connection.info.backend_pid}"
    copy.run(f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'p'")
    copy.run(f"ALTER ROLE {role} SET default_transaction_read_only = on")

    ran = rehearse(aoc, copy, AOC_COPY_URL=copy.url_as(role, "p"))

    assert (ran.exit_code, ran.slugs("error"), unchanged(copy)) == (1, ["read-only-role"], True)


def test_the_commands_in_its_findings_are_for_the_target(copy: Database, aoc: Aoc) -> None:
    """Findings of a copy name commands that run on the configured database, and the note says so."""
    copy.add("bad", tenant=None)

    ran = rehearse(aoc, copy)

    assert (ran.exit_code, ran.report["changed"]) == (1, False)
    variable = f"{copy.target.upper()}_DATABASE_URL"
    assert f"Their commands run on {variable}." in ran.report["next"]["note"]


def test_a_copy_that_is_too_small_is_refused(copy: Database, aoc: Aoc) -> None:
    """The room needed is a fact; if --free-space is less, nothing changes; if it is enough, the rehearsal runs."""
    small, enough = (rehearse(aoc, copy, "--free-space", size) for size in ("16kB", "1GB"))

    assert (small.exit_code, small.slugs("error"), small.report["changed"]) == (1, ["copy-too-small"], False)
    needed = facts(small)["room_needed_bytes"]
    parts = ("new_indexes_bytes", "sorts_bytes", "new_versions_bytes", "kept_wal_bytes")
    assert needed == sum(facts(small)[part] for part in parts) > facts(small)["free_space_bytes"] == 16 * 1024
    assert (enough.exit_code, facts(enough)["free_space_bytes"]) == (0, 2**30)


def test_a_full_disk_is_a_finding_from_which_it_goes_on(copy: Database, aoc: Aoc) -> None:
    """When the disk is full, the report says how the copy is left; with room, the same command ends it."""
    full = "RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'"
    with in_phase(copy, "upgrade", full):
        stopped = rehearse(aoc, copy)

    assert (stopped.exit_code, stopped.slugs("error")) == (4, ["step-failed"])
    assert "phase `upgrade`" in stopped.finding("rehearsal-unfinished")["problem"]
    assert "at concelier_0003, not under a hold" in stopped.finding("rehearsal-unfinished")["problem"]
    ran = rehearse(aoc, copy)
    assert (ran.exit_code, facts(ran)["from_revision"], facts(ran)["way_back"]) == (0, "base", "exact")


@pytest.fixture(scope="module")
def servers() -> Iterator[Pair]:
    """A primary with excititor's database, and its standby."""
    with running_server() as primary, pair(primary) as both:
        with psycopg.connect(primary.url("postgres"), autocommit=True) as admin:
            admin.execute("CREATE DATABASE excititor")
        with psycopg.connect(primary.url("excititor"), autocommit=True) as connection:
            connection.execute("SET synchronous_commit = 'remote_apply'")
            fill_table(connection, "vex_raw", 5)
        yield both


def test_no_rehearsal_on_a_standby(servers: Pair, aoc: Aoc) -> None:
    """A copy that is a standby is refused; and so is one whose standby is the configured target."""
    primary, standby = (server.url("excititor") for server in (servers.primary, servers.standby))
    typed = ("rehearse", "excititor", "--copy-is", "excititor")

    on_standby = aoc.json(*typed, AOC_COPY_URL=standby)
    on_primary = aoc.json(*typed, AOC_COPY_URL=primary, EXCITITOR_DATABASE_URL=standby)

    assert (on_standby.exit_code, on_standby.slugs("error")) == (3, ["standby"])
    assert "Point AOC_COPY_URL at the primary" in on_standby.finding("standby")["help"]
    assert (on_primary.exit_code, on_primary.slugs("error")) == (3, ["copy-in-doubt"])
