"""The session that blocks a strong lock is named while it blocks; autovacuum yields where it can."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psycopg
import pytest

from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint
from tests.helpers import fill, wait_until
from tests.sampling import sample

STRONG = [  # target, number of the revision, direction: every step that takes a strong lock
    ("excititor", 1, "upgrade"),
    ("excititor", 2, "upgrade"),
    ("excititor", 3, "upgrade"),
    ("excititor", 7, "upgrade"),
    ("concelier", 8, "upgrade"),
    ("concelier", 8, "downgrade"),
    ("excititor", 7, "downgrade"),
    ("excititor", 3, "downgrade"),
    ("excititor", 2, "downgrade"),
]


@contextmanager
def waiting(database: Database, statement: str, **settings: str) -> Iterator[None]:
    """Run a statement in a session of its own, which will have to wait; end the session afterwards."""
    connection = psycopg.connect(database.url, autocommit=True, **settings)  # type: ignore[arg-type]

    def run() -> None:
        try:
            connection.execute(statement)
        except psycopg.Error:
            return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        database.run("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
        thread.join()
        connection.close()


def test_a_failed_try_describes_the_queue(excititor: Database, aoc: Aoc) -> None:
    """A failed try names the holder of the lock, those who wait ahead of us, and how many wait behind us."""
    aoc.configure(excititor)
    with psycopg.connect(excititor.url, application_name="a report") as holder, ExitStack() as stack:
        holder.execute("SELECT 'planted-text' FROM vex_raw")
        process = aoc.start("upgrade", "--max-stall", "10s", "--deadline", "10s", "--format", "json")
        wait_until(lambda: bool(excititor.value("SELECT count(*) FROM pg_locks WHERE NOT granted")))
        for _ in range(3):
            stack.enter_context(waiting(excititor, "SELECT count(*) FROM vex_raw"))
        out, err = process.communicate(timeout=60)

    assert process.returncode == 3, err
    assert "'a report', idle in transaction, open for " in out
    assert "holds it" in out
    assert "3 sessions waited behind us" in out
    assert "planted-text" not in out + err


def test_a_session_ahead_of_us_is_named_as_waiting(excititor: Database, aoc: Aoc) -> None:
    """A session that waits for the same lock ahead of us is named as waiting, not as holding it."""
    aoc.configure(excititor)
    with psycopg.connect(excititor.url) as holder:
        holder.execute("SELECT count(*) FROM vex_raw")
        with waiting(excititor, "BEGIN; LOCK TABLE vex_raw", application_name="another migration"):
            wait_until(lambda: bool(excititor.value("SELECT count(*) FROM pg_locks WHERE NOT granted")))
            ran = aoc.json("upgrade", "--deadline", "1s")

    problem = ran.finding("deadline")["problem"]
    assert (ran.exit_code, "'another migration', active" in problem, "waits as we do" in problem) == (
        3,
        True,
        True,
    )


def test_query_text_is_shown_only_on_request(excititor: Database, aoc: Aoc) -> None:
    """--show-queries adds the text of what blocks."""
    aoc.configure(excititor)
    with psycopg.connect(excititor.url) as holder:
        holder.execute("SELECT 'planted-text' FROM vex_raw")

        ran = aoc.json("upgrade", "--deadline", "1s", "--show-queries")

    assert "SELECT 'planted-text' FROM vex_raw" in ran.finding("deadline")["problem"]


def test_a_prepared_transaction_is_named_with_its_end(excititor: Database, aoc: Aoc) -> None:
    """A prepared transaction that holds the lock is named, with the statement that ends it."""
    aoc.configure(excititor)
    with psycopg.connect(excititor.url) as holder:
        holder.execute("SELECT count(*) FROM vex_raw")
        holder.execute("PREPARE TRANSACTION 'forgotten'")
    try:
        ran = aoc.json("upgrade", "--deadline", "1s")
    finally:
        excititor.run("ROLLBACK PREPARED 'forgotten'")

    assert (ran.exit_code, ran.slugs("warning")) == (3, ["prepared-transaction"])
    assert "prepared transaction 'forgotten'" in ran.finding("deadline")["problem"]
    assert "ROLLBACK PREPARED 'forgotten';" in ran.finding("deadline")["help"]


def revision(target: str, number: int) -> str:
    """The id of a revision; 0 is base."""
    return f"{target}_{number:04d}" if number else "base"


@dataclass
class Vacuumed:
    """A database before a strong step, while an autovacuum worker goes slowly over the table."""

    database: Database
    start: str
    command: list[str]
    end: str


@pytest.fixture
def vacuumed_step(request: pytest.FixtureRequest, aoc: Aoc, retrofit: dict[str, str]) -> Iterator[Vacuumed]:
    """Prepare the step that the parameter names; its last part says whether the vacuum is against wraparound."""
    (target, number, direction), wraparound = request.param
    database: Database = request.getfixturevalue(target)
    aoc.configure(database)
    fill(database, 4000)
    start, end = (number - 1, number) if direction == "upgrade" else (number, number - 1)
    if start:
        assert aoc("upgrade", revision(target, start), **retrofit).exit_code == 0
    table = database.table
    if number == 8:
        table = "advisory" if direction == "upgrade" else "advisory_backup_20251028"
        many = "SELECT n, 'default', repeat('t', 500) FROM generate_series(1, 3000) AS n"
        database.run(f"INSERT INTO {table} (id, tenant, title) {many}")
    if wraparound:
        burn_transactions(database)
    else:
        database.run(f"UPDATE {table} SET id = id")
    database.run(
        f"ALTER TABLE {table} SET (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0, "
        "autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1, "
        "autovacuum_freeze_max_age = 100000)"
    )
    database.run("ALTER SYSTEM SET autovacuum_naptime = 1")
    database.run("SELECT pg_reload_conf()")
    try:
        wait_until(lambda: bool(vacuuming(database, table)), seconds=60)
        yield Vacuumed(
            database, revision(target, start), [direction, revision(target, end)], revision(target, end)
        )
    finally:
        database.run("ALTER SYSTEM RESET autovacuum_naptime")
        database.run("SELECT pg_reload_conf()")


def burn_transactions(database: Database) -> None:
    """Make every table older than 100,000 transactions, the least autovacuum_freeze_max_age."""
    database.run("DO 'BEGIN FOR i IN 1..100001 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END'")


def vacuuming(database: Database, table: str) -> int:
    """Count autovacuum workers on the table."""
    return int(
        database.value(
            "SELECT count(*) FROM pg_stat_progress_vacuum WHERE relid = to_regclass(%s) "
            "AND datname = current_database()",
            [table],
        )
    )


@pytest.mark.alike
@pytest.mark.parametrize(
    "vacuumed_step", sample([(step, False) for step in STRONG], "autovacuum", 3), indirect=True, ids=str
)
def test_an_autovacuum_yields(vacuumed_step: Vacuumed, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """A strong step succeeds during an autovacuum, which yields to the wait for the weak lock."""
    ran = aoc.json(*vacuumed_step.command, "--deadline", "30s", **retrofit)

    assert (ran.exit_code, ran.report["revision"] or "base") == (0, vacuumed_step.end)


@pytest.mark.alike
@pytest.mark.parametrize(
    "vacuumed_step", sample([(step, True) for step in STRONG], "wraparound", 3), indirect=True, ids=str
)
def test_a_vacuum_against_wraparound_is_named(vacuumed_step: Vacuumed, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """An anti-wraparound vacuum does not yield: exit 3 with its name, and nothing is changed."""
    before = fingerprint(vacuumed_step.database.connection)

    ran = aoc.json(*vacuumed_step.command, "--deadline", "1s", **retrofit)

    assert (ran.exit_code, ran.report["revision"] or "base") == (3, vacuumed_step.start)
    assert "autovacuum to prevent wraparound, which does not yield" in ran.finding("deadline")["problem"]
    assert fingerprint(vacuumed_step.database.connection) == before
