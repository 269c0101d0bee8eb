"""How a run is steered from outside: it reads one row of the state table once a second, and obeys.

The row belongs to the run: it is deleted before the run begins and when it ends, both under the run lock, so
that no run obeys what was asked of another one.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import psycopg
from psycopg.pq import TransactionStatus

from aoc_migrate.database.asked import CONTROL, LIMITS, Asked, readable
from aoc_migrate.database.bookkeeping import STATE
from aoc_migrate.database.observing import only_observing
from aoc_migrate.database.own_tables import lock
from aoc_migrate.database.progress import Progress, shown
from aoc_migrate.database.relation import literal, utc
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.steering import SECONDS_BETWEEN_READS, Steering
from aoc_migrate.database.watcher import watched
from aoc_migrate.errors import Abort

LONGEST = 1_000_000  # characters of the row
_BOUND = 1.0  # seconds that reading the row may take
_WHAT = "what `control` asks of this run"


@contextmanager
def steered(session: Session) -> Iterator[None]:
    """Let the run of the block be steered. The caller holds the run lock."""
    if forget(session):  # of a run that was killed
        session.steering = Steering(session.limits)
    try:
        yield
    finally:
        with suppress(psycopg.Error, Abort):  # which must not replace an error of the block
            session.connection.rollback()
            forget(session)


def forget(session: Session) -> bool:
    """Delete what is asked of a run; return whether nothing is asked now."""
    with only_observing(session, _WHAT, _BOUND):
        if _row(session) is not None:
            with session.alone():
                lock(session, STATE, writes=True)
                session.quietly(f"DELETE FROM {session.schema[STATE]} WHERE name = '{CONTROL}'")
        return True
    return False


def read_asked(session: Session) -> Asked:
    """Return what is asked of the run under way; nothing where the table does not exist yet."""
    row = _row(session)
    return readable(row["value"], row["recorded_at"]) if row else Asked()


def _row(session: Session) -> Row | None:
    """Return the row as text. This never waits long: the run would."""
    state = session.schema[STATE]
    with session.alone():
        session.quietly(
            "SELECT set_config('lock_timeout', '500ms', true), "
            f"set_config('statement_timeout', '{round(_BOUND * 1000)}ms', true)"
        )
        if not session.quietly(f"SELECT 1 FROM pg_class WHERE oid = to_regclass({state.literal})"):
            return None
        lock(session, STATE)
        rows = session.quietly(
            f"SELECT CASE WHEN length(value::text) <= {LONGEST} THEN value::text END AS value, "
            f"{utc('recorded_at')} AS recorded_at FROM {state} WHERE name = {literal(CONTROL)}"
        )
    return rows[0] if rows else None


def look(session: Session, *, at_once: bool = False) -> None:
    """Read what is asked, unless that was a moment ago; log each change once, with who asked for it."""
    steering = session.steering
    if steering is None or session.connection.info.transaction_status != TransactionStatus.IDLE:
        return
    if steering.due() or at_once:
        with only_observing(session, _WHAT, _BOUND):
            asked = read_asked(session)
            for change in (new := steering.take(asked)):
                session.say(str(change), "control", by=change.by, asked=change.asked)
            if new and steering.on_change:
                steering.on_change()
            if ignored := steering.report_ignored():
                message = f"the row {CONTROL!r} of {STATE} is not valid; ignored: {ignored}"
                session.say(message, "control-ignored", "warning", ignored=ignored)
    typed = {name: getattr(steering.typed, name) for name in LIMITS}
    session.limits = replace(session.limits, **typed | steering.asked.limits)


def obey(session: Session, step: str, progress: Progress | None = None, *, strong: bool = False) -> bool:
    """Return once the run may go on with ``step``; return whether it paused. No transaction of ours is open.

    ``progress`` is that of the step, if somebody watches it already. ``strong``: the step takes a strong lock.
    """
    steering, target = session.steering, session.target.name
    look(session, at_once=strong)
    if steering is None or session.connection.info.transaction_status != TransactionStatus.IDLE:
        return False
    paused = steering.reason(target, strong=strong) is not None
    if paused and progress:
        _pause(session, steering, progress, strong=strong)
    elif paused:
        progress = Progress(session, step)
        with shown(progress), watched(session, lambda other, _: progress.record(other), every=1.0):
            _pause(session, steering, progress, strong=strong)
    if strong and steering.asked.pause_before_strong:
        steering.passes()
    return paused


def _pause(session: Session, steering: Steering, progress: Progress, *, strong: bool) -> None:
    progress.waits(None)  # for something else
    while reason := steering.reason(session.target.name, strong=strong):
        progress.waits(reason)
        begun = time.monotonic()
        try:
            time.sleep(SECONDS_BETWEEN_READS)
            look(session)
        finally:
            steering.paused += time.monotonic() - begun
    progress.waits(None)


def rest(session: Session, seconds: float, step: str, progress: Progress | None = None) -> None:
    """Sleep, and obey meanwhile; end early if a limit or a pause is asked for, or was."""
    end, limits = time.monotonic() + seconds, session.limits
    while (left := end - time.monotonic()) > 0 and session.limits == limits:
        time.sleep(min(left, SECONDS_BETWEEN_READS))
        if obey(session, step, progress):
            return


def clock(session: Session) -> float:
    """Return the seconds of a clock without the pauses that were asked for: for deadlines."""
    return time.monotonic() - (session.steering.paused if session.steering else 0)
