"""Leftovers of a failed build: an INVALID index, dropped only once no other session can be building it.

A concurrent build holds SHARE UPDATE EXCLUSIVE on the table until the index is valid. Every role sees that in
pg_locks; in pg_stat_progress_create_index a role without pg_read_all_stats sees only its own builds.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from aoc_migrate.database.blockers import Blockers
from aoc_migrate.database.lock_wait import bounded_lock_wait, failed
from aoc_migrate.database.obeying import clock, obey
from aoc_migrate.database.questions import MAINTAINING, index_is_invalid, maintaining
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.builds import building_on_shards
from aoc_migrate.errors import Abort
from aoc_migrate.operations.instant import weak_lock_wait
from aoc_migrate.report.formatting import seconds_shown
from aoc_migrate.report.model import Finding, finding


def wait_for_build(session: Session, table: Relation, index: Relation, seconds: float | None = None) -> None:
    """Wait until no other session can be building ``index``, at most ``seconds`` (None: ``limits.deadline``).

    An autovacuum holds the same lock, and yields only to a session that waits for it: so we request the lock and
    release it. No transaction of ours is open.

    Raises Abort ``deadline`` (exit 3), ``connection-lost`` or ``step-failed``.
    """
    limit = session.limits.deadline if seconds is None else seconds
    begun, attempts = clock(session), 0
    with _reported(session, index):
        while holders := session.value(f"SELECT {maintaining(table)}") or building_on_shards(session, table):
            obey(session, f"wait for a build of {index.name}")
            waited = clock(session) - begun
            if waited >= limit:
                raise Abort(_gave_up(session, table, index, waited, attempts))
            attempts += 1
            message = f"{index.name}: waiting, because {holders} may be building it"
            session.say(message, "waiting", waits_for=holders, waited_seconds=round(waited, 1))
            with suppress(psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                _ask(session, table, min(weak_lock_wait(session), limit - waited))
            if session.on_cluster:
                time.sleep(min(1.0, limit - waited))  # the lock was free here, and a shard of the table busy


def drop_invalid(session: Session, table: Relation, index: Relation, seconds: float | None = None) -> None:
    """Drop ``index`` of ``table`` if it is INVALID, and still is once no other session can be building it.

    Raises Abort as `wait_for_build` does.
    """
    if not _is_invalid(session, table, index):
        return
    wait_for_build(session, table, index, seconds)
    if _is_invalid(session, table, index):
        label, begun = f"DROP INDEX CONCURRENTLY {index.name} ON {table.name}", time.monotonic()
        with bounded_lock_wait(session, table.name, label, seconds):
            # IF EXISTS, because on a cluster a shard may lack its part (github.com/citusdata/citus/issues/3105).
            session.run(f"DROP INDEX CONCURRENTLY IF EXISTS {index}")
        session.note(label, total=time.monotonic() - begun)


def _is_invalid(session: Session, table: Relation, index: Relation) -> bool:
    with _reported(session, index):
        return bool(session.value(f"SELECT {index_is_invalid(table, index)}"))


def _ask(session: Session, table: Relation, seconds: float) -> None:
    """Request the lock in a transaction of its own; LOCK takes no snapshot, for which a build would wait."""
    with session.transaction():
        session.run(f"SET LOCAL lock_timeout = '{max(1, round(seconds * 1000))}ms'")
        session.run(f"LOCK TABLE ONLY {table} IN SHARE UPDATE EXCLUSIVE MODE")


@contextmanager
def _reported(session: Session, index: Relation) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise Abort(failed(session, index.name, error)) from None


def _gave_up(session: Session, table: Relation, index: Relation, waited: float, attempts: int) -> Finding:
    """Return the finding ``deadline``: who holds the lock, and who blocks that session in turn."""
    holders, before = Blockers(session), Blockers(session)
    holders.find_holders(session, table, mode=MAINTAINING)
    here = [row for row in holders.ahead if row["gid"] is None and not row.get("node")]
    blocked = any(before.observe(session, row["pid"]).ahead for row in here)
    return finding(
        "deadline",
        index.name,
        what="could be neither built nor dropped",
        waited=seconds_shown(waited),
        attempts=attempts,
        blockers=holders.words() + (f" Ahead of that one: {before.named()}." if blocked else ""),
        remedy=f"{(before if blocked else holders).remedy()} and run the same command again.",
    )
