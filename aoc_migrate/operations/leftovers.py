"""What a build that failed leaves behind: an INVALID index, dropped only once nobody can be building it.

Whoever builds an index CONCURRENTLY holds SHARE UPDATE EXCLUSIVE on its table until the index is valid. Every role
sees that in pg_locks; in pg_stat_progress_create_index a role without pg_read_all_stats sees only its own builds.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from aoc_migrate.database import others
from aoc_migrate.database.blockers import Blockers
from aoc_migrate.database.lock_wait import failed, patient
from aoc_migrate.database.questions import index_is_invalid
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Session
from aoc_migrate.errors import Abort
from aoc_migrate.operations.instant import patience_for_weak_lock
from aoc_migrate.report.model import Finding, finding


def wait_for_build(session: Session, table: Relation, index: Relation, patience: float | None = None) -> None:
    """Wait until nobody else can be building ``index``, for ``patience`` seconds (None: ``limits.deadline``).

    An autovacuum holds the same lock, and yields only to somebody who waits for it: so we ask for it and let go.
    No transaction of ours is open. Raises Abort ``deadline`` (exit 3), ``connection-lost`` or ``step-failed``.
    """
    limit = session.limits.deadline if patience is None else patience
    begun, attempts = time.monotonic(), 0
    with _reported(session, index):
        while holders := session.value(f"SELECT {others.maintaining(table)}"):
            waited = time.monotonic() - begun
            if waited >= limit:
                raise Abort(_gave_up(session, table, index, waited, attempts))
            attempts += 1
            session.say(f"{index.name}: waiting, because {holders} may be building it")
            with suppress(psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                _ask(session, table, min(patience_for_weak_lock(session), limit - waited))


def drop_invalid(session: Session, table: Relation, index: Relation, patience: float | None = None) -> None:
    """Drop ``index`` if it is an INVALID one of ``table``, and still is once nobody else can be building it.

    Raises Abort as `wait_for_build` does.
    """
    if not _is_invalid(session, table, index):
        return
    wait_for_build(session, table, index, patience)
    if _is_invalid(session, table, index):
        label, begun = f"DROP INDEX CONCURRENTLY {index.name} ON {table.name}", time.monotonic()
        with patient(session, table.name, label, patience):
            session.run(f"DROP INDEX CONCURRENTLY {index}")
        session.note(label, total=time.monotonic() - begun)


def _is_invalid(session: Session, table: Relation, index: Relation) -> bool:
    with _reported(session, index):
        return bool(session.value(f"SELECT {index_is_invalid(table, index)}"))


def _ask(session: Session, table: Relation, seconds: float) -> None:
    """Ask for the lock in a transaction of its own; LOCK takes no snapshot, which a build would wait for."""
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
    """Return the finding ``deadline``: who holds the lock, and whom that session waits for itself."""
    holders, before = Blockers(session), Blockers(session)
    holders.look_back(session, table, mode=others.MAINTAINING)
    blocked = any(before.look(session, row["pid"]) for row in holders.ahead if row["gid"] is None)
    return finding(
        "deadline",
        index.name,
        what="could be neither built nor dropped",
        waited=f"{waited:.0f} s",
        attempts=attempts,
        blockers=holders.words() + (f" Before that one: {before.named()}." if blocked else ""),
        remedy=f"{(before if blocked else holders).remedy()} and run the same command again.",
    )
