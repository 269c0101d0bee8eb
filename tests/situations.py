"""What has happened when a page, or a part of one, finds its reader.

Each situation yields the substitutes for what the page prints: 4711 is the pid of a session that is in the way.
"""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager

from aoc_migrate.database.runner_lock import lock_key
from tests.helpers import wait_until
from tests.reader import OWNER, Reader

Here = dict[str, str]
Situation = Callable[[Reader], AbstractContextManager[Here]]

_WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"


@contextmanager
def nothing(reader: Reader) -> Iterator[Here]:
    """Nothing has happened."""
    yield {}


@contextmanager
def at_0004(reader: Reader) -> Iterator[Here]:
    """Constraints and idempotency index are in place, links and view are not."""
    reader.done("upgrade", "concelier", "concelier_0004")
    yield {}


@contextmanager
def planned(reader: Reader) -> Iterator[Here]:
    """A plan was approved, and somebody has added an index since."""
    reader.done("plan", "concelier", "--output", "plan.json")
    reader.run("CREATE INDEX extra ON advisory_raw (tenant)")
    yield {}


@contextmanager
def held(reader: Reader) -> Iterator[Here]:
    """A rollback holds the database, and a pod has restarted since."""
    reader.done("downgrade", "concelier", "-3")
    reader.done("upgrade", "concelier")
    yield {}


@contextmanager
def blocking(reader: Reader) -> Iterator[int]:
    """A session of an application has read both tables, and its transaction is open. Yields its pid."""
    with closing(reader.connect("concelier", OWNER)) as session:
        session.autocommit = False
        session.execute("SELECT FROM advisory_raw, advisory LIMIT 1")
        yield session.info.backend_pid


@contextmanager
def blocked(reader: Reader, *words: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A command waits for such a session. Yields the session's pid, and the command."""
    with blocking(reader) as pid, reader.start(*words) as process:
        try:
            wait_until(lambda: bool(reader.run(_WAITING)))
            yield pid, process
        finally:
            process.kill()


@contextmanager
def waiting(reader: Reader) -> Iterator[Here]:
    """A session blocks the upgrade, which goes on as soon as that session is ended."""
    with blocked(reader, "upgrade", "concelier") as (pid, process):
        yield {"4711": str(pid)}
        assert process.wait(timeout=60) == 0


@contextmanager
def gave_up(reader: Reader) -> Iterator[Here]:
    """The upgrade gave up at its deadline."""
    with blocking(reader):
        reader.done("upgrade", "concelier", "--deadline", "1s", exit_code=3)
    yield {}


@contextmanager
def killed(reader: Reader) -> Iterator[Here]:
    """The upgrade was killed half way."""
    with blocked(reader, "upgrade", "concelier") as (_, process):
        process.kill()
    yield {}


@contextmanager
def rollback_killed(reader: Reader) -> Iterator[Here]:
    """A downgrade by two revisions was killed before it undid any."""
    with blocked(reader, "downgrade", "concelier", "-2") as (_, process):
        process.kill()
    yield {}


@contextmanager
def locked(reader: Reader) -> Iterator[Here]:
    """A session that nobody knows holds the run lock."""
    with closing(reader.connect("concelier", OWNER)) as session:
        session.execute("SELECT pg_advisory_lock(%s::bigint)", [lock_key("concelier", "public")])
        yield {"4711": str(session.info.backend_pid)}


@contextmanager
def behind(reader: Reader) -> Iterator[Here]:
    """The upgrade is before the backfill, and a replication slot has no reader."""
    reader.done("upgrade", "concelier", "concelier_0005")
    reader.run("SELECT pg_create_physical_replication_slot('unread', true)")
    try:
        yield {}
    finally:
        reader.run("SELECT pg_drop_replication_slot('unread')")


@contextmanager
def steered(reader: Reader) -> Iterator[Here]:
    """An upgrade is in its backfill, and pauses for a replication slot; in the end it stops as it was asked."""
    slot = "SELECT count(*) FROM aoc_migration_log WHERE progress->>'waits_for' LIKE '%slot%'"
    with behind(reader):
        reader.run("CREATE TABLE ballast AS SELECT repeat('x', 1000) FROM generate_series(1, 3000)")
        process = reader.start("upgrade", "concelier", "--batch-rows", "1", "--max-lag", "1MB")
        wait_until(lambda: bool(reader.run(slot)))
        yield {}
    reader.done("control", "concelier", "--resume", "--max-lag", "off", "--pace", "100%")
    assert process.wait(timeout=60) == 0
    assert reader.run("SELECT version_num FROM aoc_alembic_version") == "concelier_0006"


@contextmanager
def limited(reader: Reader) -> Iterator[Here]:
    """The owner may use too little temporary space."""
    reader.run(f"ALTER ROLE {OWNER} SET temp_file_limit = '1MB'")
    yield {}


@contextmanager
def duplicate(reader: Reader) -> Iterator[Here]:
    """A service stored a document again while the unique index was built, so the build failed."""
    reader.done("upgrade", "concelier", "concelier_0003")
    building = "SELECT count(*) FROM pg_stat_activity WHERE query ~ '^CREATE UNIQUE' AND wait_event_type = 'Lock'"
    with closing(reader.connect("concelier", OWNER)) as service:
        service.autocommit = False
        service.execute(
            "INSERT INTO advisory_raw SELECT (jsonb_populate_record(r, jsonb_build_object('id', 'again', "
            "'retrieved_at', now()))).* FROM advisory_raw AS r LIMIT 1"
        )
        with reader.start("upgrade", "concelier") as process:
            wait_until(lambda: bool(reader.run(building)))
            service.commit()
            assert process.wait(timeout=60) == 4
    yield {}


@contextmanager
def damaged(reader: Reader) -> Iterator[Here]:
    """Somebody dropped a constraint, and an index is INVALID."""
    reader.run("ALTER TABLE advisory_raw DROP CONSTRAINT advisory_raw_keys_v1")
    reader.run("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'advisory_raw_chain_v1'::regclass")
    yield {}


@contextmanager
def blind(reader: Reader) -> Iterator[Here]:
    """The verifier lost a right."""
    reader.done("verifier", "create")
    reader.run('REVOKE SELECT ON aoc_migration_hold FROM "stella-aoc-verify"')
    yield {}
