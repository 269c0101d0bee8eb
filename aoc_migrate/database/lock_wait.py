"""Bounded waits for locks, and the findings if the lock or the change takes too long."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import psycopg

from aoc_migrate.database.blockers import Blockers
from aoc_migrate.database.error_text import first_line
from aoc_migrate.database.patience import Patience
from aoc_migrate.database.progress import Progress, shown
from aoc_migrate.database.relation import quoted
from aoc_migrate.database.session import Session
from aoc_migrate.database.watcher import watched
from aoc_migrate.errors import Abort
from aoc_migrate.report.formatting import seconds_shown
from aoc_migrate.report.model import Finding, finding

NODE_LOST = "08"
"""SQLSTATE class "connection exception": the coordinator of a Citus cluster has lost another node."""


@contextmanager
def bounded_lock_wait(
    session: Session,
    subject: str,
    label: str,
    seconds: float | None = None,
    estimated_ms: float | None = None,
) -> Iterator[None]:
    """Let statements wait at most ``seconds`` for each lock, and show their progress; turn errors into findings.

    None is ``limits.deadline``, 0 waits without end and shows nothing. The nodes of a cluster know no limit: what
    waits there for longer is cancelled. ``estimated_ms`` was estimated beforehand.
    Raises Abort ``deadline``, ``connection-lost`` (exit 3), ``cancelled`` or ``step-failed``.
    """
    limit = session.limits.deadline if seconds is None else seconds
    blockers, progress = Blockers(session), Progress(session, label, estimated_ms=estimated_ms)
    patience = Patience(limit if session.on_cluster else math.inf)

    def observe(other: Session, pid: int) -> None:
        waits = bool(blockers.observe(other, pid).ahead)
        patience.observe(other, pid, waits=waits)
        progress.waits(blockers.waiting() if waits else None)
        progress.record(other)

    session.set("lock_timeout", f"{round(limit * 1000)}ms")
    try:
        with ExitStack() as stack:
            if limit:
                stack.enter_context(shown(progress))
                stack.enter_context(watched(session, observe, every=min(1.0, limit / 3)))
            yield
    except psycopg.Error as error:
        if patience.cancelled and isinstance(error, psycopg.errors.QueryCanceled):
            raise Abort(gave_up(session, subject, limit, 1, blockers)) from None
        raise Abort(failed(session, label, error, subject, blockers)) from None
    finally:
        with suppress(psycopg.Error):  # it must not replace an error of the block
            session.set("lock_timeout", f"{round(session.limits.deadline * 1000)}ms")


def failed(
    session: Session, label: str, error: psycopg.Error, subject: str = "", blockers: Blockers | None = None
) -> Finding:
    """Return the finding for an error of PostgreSQL: waited too long, connection lost, cancelled, or refused.

    Code that sets a ``statement_timeout`` handles it, so a cancel that arrives here is a person's.
    """
    reason = first_line(error, session.target).rstrip(".")
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return gave_up(session, subject or label, session.limits.deadline, 1, blockers or Blockers(session))
    if session.connection.closed or (error.sqlstate or "").startswith(NODE_LOST):
        return finding("connection-lost", session.target.name, reason=reason)
    if isinstance(error, psycopg.errors.QueryCanceled):
        return finding("cancelled", label, reason=reason)
    if isinstance(error, psycopg.errors.ConfigurationLimitExceeded) and "temp_file_limit" in reason:
        return finding("temp-file-limit", label, reason=reason, role=quoted(session.connection.info.user))
    return finding("step-failed", label, reason=reason)


def too_slow(subject: str, waited: float, attempts: int, bound: float) -> Finding:
    """Return the finding ``deadline`` for one row that cannot be written within ``bound`` seconds."""
    return finding(
        "deadline",
        subject,
        what="could not be written",
        waited=seconds_shown(waited),
        attempts=attempts,
        blockers=f"Nobody was ahead of us: one row alone takes longer than {seconds_shown(bound)}.",
        remedy="Find out what makes an UPDATE of one row slow (triggers, too many partitions, the disk), and run "
        "the same command again.",
    )


def gave_up(session: Session, subject: str, waited: float, attempts: int, blockers: Blockers) -> Finding:
    """Return the finding ``deadline``: how long and how often we tried, who blocks, and how to end that."""
    return finding(
        "deadline",
        subject,
        what="could not be changed" if blockers.slow else "could not be locked",
        waited=seconds_shown(waited),
        attempts=attempts,
        blockers=blockers.words(),
        remedy=f"{blockers.remedy()} and run the same command again.",
    )
