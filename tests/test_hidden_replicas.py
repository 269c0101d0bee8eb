"""Replicas that --max-lag cannot see: those of Aurora, and standbys whose lag is hidden from the role."""

import shlex
import subprocess
from collections.abc import Iterator

import pytest

from aoc_migrate.database.hidden_replicas import QUERY
from aoc_migrate.sandbox.server import find_binaries
from tests.builds import lonely
from tests.conftest import Aoc, Database
from tests.helpers import before_backfill, unread_slot, wait_until
from tests.services import become_aurora

SLUG = "hidden-replicas"
SMALL = ("--batch-rows", "100")
BLIND = "cannot see how far Aurora's replicas are behind (they read the primary's storage"


@pytest.fixture
def excititor_before_backfill(
    request: pytest.FixtureRequest, excititor: Database, aoc: Aoc, retrofit: dict[str, str]
) -> Database:
    """An excititor with 400 rows without links, one step before the backfill, which is allowed."""
    return before_backfill(excititor, aoc, retrofit, request)


@pytest.mark.parametrize("words", ["plan", "audit", "status", "upgrade"])
def test_aurora_is_reported_once(words: str, excititor_before_backfill: Database, aoc: Aoc) -> None:
    """On Aurora with a replica, each report warns once with the query to use, and the exit code stays 0."""
    become_aurora(excititor_before_backfill, 20.0)

    ran = aoc.json(*words.split())

    finding = ran.finding(SLUG)
    assert (ran.exit_code, finding["severity"]) == (0, "warning")
    assert f'--throttle-query "{QUERY}"' in finding["help"]


def test_the_throttle_says_once_that_it_is_blind(excititor_before_backfill: Database, aoc: Aoc) -> None:
    """The log of a backfill says once what it cannot see and what can; a late replica does not pause it."""
    become_aurora(excititor_before_backfill, 60_000.0, 20.0)

    ran = aoc.json("upgrade", *SMALL, "--max-lag", "1MB,1s")

    assert (ran.exit_code, ran.err.count(BLIND), ran.err.count("cannot see")) == (0, 1, 1)
    assert "--throttle-query can ask aurora_replica_status()" in ran.err


def test_the_printed_query_pauses_for_a_late_replica(excititor_before_backfill: Database, aoc: Aoc) -> None:
    """The printed query, typed as printed, pauses while a replica is late, and ends the warning."""
    become_aurora(excititor_before_backfill, 20.0, 60_000.0)
    printed = aoc.json("plan").finding(SLUG)["help"].partition("add ")[2].partition(", or set")[0]

    ran = aoc.json("upgrade", *SMALL, "--deadline", "1s", *shlex.split(printed))

    assert (ran.exit_code, ran.slugs("error"), SLUG in ran.slugs()) == (3, ["deadline"], False)
    assert "the query of --throttle-query returns true" in ran.finding("deadline")["problem"]


@pytest.mark.parametrize(
    ("lags", "words", "more"),
    [
        ((), "", {}),
        ((20.0,), "--max-lag off", {}),
        ((20.0,), "", {"AOC_THROTTLE_QUERY": QUERY}),
    ],
    ids=["no replica", "no limit", "a query"],
)
def test_nothing_is_said_where_nothing_is_missed(
    lags: tuple[float, ...], words: str, more: dict[str, str], excititor_before_backfill: Database, aoc: Aoc
) -> None:
    """Without replicas, without a limit, and with a query, neither the report nor the log says anything."""
    become_aurora(excititor_before_backfill, *lags)

    ran = aoc.json("upgrade", *SMALL, *words.split(), **more)

    assert (ran.exit_code, SLUG in ran.slugs(), "Aurora" in ran.err) == (0, False, False)


def test_another_function_of_that_name_is_no_aurora(excititor_before_backfill: Database, aoc: Aoc) -> None:
    """A function of that name in another schema is never called, and means nothing."""
    excititor_before_backfill.run(
        "CREATE FUNCTION public.aurora_replica_status() RETURNS SETOF record LANGUAGE plpgsql "
        "AS $$ BEGIN RAISE 'called'; END $$"
    )

    ran = aoc.json("upgrade", *SMALL)

    assert (ran.exit_code, SLUG in ran.slugs(), "called" in ran.err) == (0, False, False)


def test_aurora_that_may_not_be_asked_may_have_replicas(excititor_before_backfill: Database, aoc: Aoc) -> None:
    """Where Aurora is known by its settings, and its function fails, the report warns too."""
    name = excititor_before_backfill.connection.info.dbname
    excititor_before_backfill.run(f"ALTER DATABASE {name} SET rds.extensions = 'aurora_stat_utils, ltree'")

    ran = aoc.json("upgrade", *SMALL)

    assert (ran.exit_code, ran.slugs("warning"), ran.err.count("cannot see how far Aurora's")) == (0, [SLUG], 1)


@pytest.fixture
def receiver(excititor_before_backfill: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A receiver of the server's WAL, which pg_stat_replication lists."""
    folder = tmp_path_factory.mktemp("wal")
    listed = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name = 'hidden'"
    url = f"{excititor_before_backfill.url}?application_name=hidden"
    command = [str(find_binaries() / "pg_receivewal"), "--directory", str(folder), "--dbname", url]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: excititor_before_backfill.value(listed) == 1)
            yield
        finally:
            process.terminate()


@pytest.mark.usefixtures("receiver")
def test_a_standby_whose_lag_is_hidden_is_said(excititor_before_backfill: Database, aoc: Aoc) -> None:
    """A role that may not see how far a standby is behind says so in the log, once, and goes on."""
    with lonely(excititor_before_backfill) as role:
        for table in ("aoc_migration_state", "aoc_migration_hold", "aoc_alembic_version", "aoc_migration_log"):
            excititor_before_backfill.run(f"ALTER TABLE {table} OWNER TO {role}")
        aoc.environment["EXCITITOR_DATABASE_URL"] = excititor_before_backfill.url_as(role, "p")
        blind = aoc.json("upgrade", "excititor_0006", *SMALL)

    unseen = "cannot see how far standbys are behind (members of pg_read_all_stats see it, and this role is none)"
    assert (blind.exit_code, blind.err.count(unseen), blind.slugs("warning")) == (0, 1, ["limited-visibility"])


def test_a_server_that_does_not_say_its_wal_is_audited(excititor: Database, aoc: Aoc) -> None:
    """Where nobody may ask for the end of the WAL, the audit says once that it cannot see slots, and goes on."""
    with lonely(excititor) as role, unread_slot(excititor):
        excititor.run("REVOKE EXECUTE ON FUNCTION pg_current_wal_lsn() FROM PUBLIC")
        aoc.environment["EXCITITOR_DATABASE_URL"] = excititor.url_as(role, "p")
        ran = aoc.json("audit")

    assert (ran.exit_code, ran.slugs("error")) == (0, [])
    assert ran.err.count("cannot see replication slots (permission denied for function pg_current_wal_lsn)") == 1
