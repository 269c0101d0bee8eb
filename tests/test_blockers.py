"""Who blocks a strong lock is named while it blocks; autovacuum yields where it can."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest

from tests.conftest import Aoc, Database
from tests.helpers import fill, wait_until

STRONG = [
    ("excititor", "excititor_0001"),
    ("excititor", "excititor_0002"),
    ("excititor", "excititor_0003"),
    ("excititor", "excititor_0007"),
    ("concelier", "concelier_0008"),
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


def before(revision: str) -> str:
    """The revision before."""
    name, number = revision.split("_")
    return f"{name}_{int(number) - 1:04d}"


def test_queue_is_described(excititor: Database, aoc: Aoc) -> None:
    """A failed try names who holds the lock, who waits before us, and how many sessions wait behind us."""
    aoc.configure(excititor)
    with psycopg.connect(excititor.url, application_name="a report") as holder, ExitStack() as stack:
        holder.execute("SELECT 'planted-text' FROM vex_raw")
        process = aoc.start("upgrade", "--max-stall", "2s", "--deadline", "2s", "--format", "json")
        wait_until(lambda: bool(excititor.value("SELECT count(*) FROM pg_locks WHERE NOT granted")))
        for _ in range(3):
            stack.enter_context(waiting(excititor, "SELECT count(*) FROM vex_raw"))
        out, err = process.communicate(timeout=60)

    assert process.returncode == 3, err
    assert "'a report', idle in transaction, open for " in out
    assert "holds it" in out
    assert "3 sessions waited behind us" in out
    assert "planted-text" not in out + err


def test_soft_blocker(excititor: Database, aoc: Aoc) -> None:
    """Somebody who waits for the same lock before us is named as waiting, not as holding it."""
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


def test_query_text_only_when_asked(excititor: Database, aoc: Aoc) -> None:
    """--show-queries adds the text of what blocks."""
    aoc.configure(excititor)
    with psycopg.connect(excititor.url) as holder:
        holder.execute("SELECT 'planted-text' FROM vex_raw")

        ran = aoc.json("upgrade", "--deadline", "1s", "--show-queries")

    assert "SELECT 'planted-text' FROM vex_raw" in ran.finding("deadline")["problem"]


def test_prepared_transaction(excititor: Database, aoc: Aoc) -> None:
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


@pytest.fixture
def vacuumed(request: pytest.FixtureRequest, aoc: Aoc, allowed: dict[str, str]) -> Iterator[Database]:
    """A database before a strong step, its table being vacuumed slowly by an autovacuum worker."""
    target, revision = request.param[:2]
    database: Database = request.getfixturevalue(target)
    aoc.configure(database)
    fill(database, 4000)
    if not revision.endswith("1"):
        assert aoc("upgrade", before(revision), **allowed).exit_code == 0
    table = "advisory" if revision == "concelier_0008" else database.table
    if table == "advisory":
        many = "SELECT n, 'default', repeat('t', 500) FROM generate_series(1, 3000) AS n"
        database.run(f"INSERT INTO advisory (id, tenant, title) {many}")
    if len(request.param) == 2:
        database.run(f"UPDATE {table} SET id = id")
    else:
        burn_transactions(database)
    database.run(
        f"ALTER TABLE {table} SET (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0, "
        "autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1, "
        "autovacuum_freeze_max_age = 100000)"
    )
    database.run("ALTER SYSTEM SET autovacuum_naptime = 1")
    database.run("SELECT pg_reload_conf()")
    try:
        wait_until(lambda: bool(vacuuming(database, table)), seconds=60)
        yield database
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


@pytest.mark.parametrize("vacuumed", STRONG, indirect=True, ids=[revision for _, revision in STRONG])
def test_autovacuum_yields(
    vacuumed: Database, aoc: Aoc, allowed: dict[str, str], request: pytest.FixtureRequest
) -> None:
    """A strong step goes through while an autovacuum is at work: it yields to the wait for the weak lock."""
    revision = request.node.callspec.params["vacuumed"][1]

    ran = aoc.json("upgrade", revision, "--deadline", "30s", **allowed)

    assert (ran.exit_code, ran.report["revision"]) == (0, revision)


@pytest.mark.parametrize("vacuumed", [(*s, "frozen") for s in STRONG], indirect=True, ids=[r for _, r in STRONG])
def test_vacuum_against_wraparound_is_named(
    vacuumed: Database, aoc: Aoc, allowed: dict[str, str], request: pytest.FixtureRequest
) -> None:
    """An anti-wraparound vacuum does not yield: exit 3, it is named, nothing changed; later it goes on."""
    _, revision, _ = request.node.callspec.params["vacuumed"]

    ran = aoc.json("upgrade", revision, "--deadline", "1s", **allowed)

    assert (ran.exit_code, ran.report["revision"]) == (3, None if revision.endswith("1") else before(revision))
    assert "autovacuum to prevent wraparound, which does not yield" in ran.finding("deadline")["problem"]
