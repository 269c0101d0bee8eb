"""What another session runs on a target now: how much is done, how fast, and what it waits for.

The runner records that in the ledger every few seconds. What the server itself shows is newer, and a role without
access to the ledger sees only that. Both are data, and are read only for a session that holds the lock.
"""

from dataclasses import replace

from aoc_migrate.database.blockers import Blockers
from aoc_migrate.database.runner_lock import runners
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.spread.builds import Place, index_builds
from aoc_migrate.database.targets import TARGETS
from aoc_migrate.report.facts.running import Running, readable
from aoc_migrate.revisions import ledger

FRESH = 30.0  # seconds; an older record of the runner is out of date


def running_work(session: Session) -> tuple[Running, ...]:
    """Return the running step of each session of ours that holds the run lock."""
    held = runners(session)
    pids = [row["pid"] for row in held]
    if not pids:
        return ()
    recorded, builds = (
        {row["pid"]: row for row in reversed(ledger.open_runs(session, pids))},
        index_builds(session, pids),
    )
    found = []
    for row in held:
        running = _recorded(recorded.get(row["pid"])) or _announced(row)
        if running is not None:
            found.append(_waiting(session, row["pid"], _built(running, builds.get(row["pid"]))))
    return tuple(found)


def _recorded(run: Row | None) -> Running | None:
    """Return what the runner recorded of its step, with the time since then."""
    running = readable(run["progress"]) if run else None
    if run is None or running is None or running.step != run["step"] or run["age"] > FRESH:
        return None
    waited = None if running.waited_seconds is None else round(running.waited_seconds + run["age"], 1)
    return replace(
        running, elapsed_seconds=round((running.elapsed_seconds or 0) + run["age"], 1), waited_seconds=waited
    )


def _announced(row: Row) -> Running | None:
    """Return the step in the session's application name, and for how long its statement has been running."""
    name, _, step = str(row["application"]).partition(": ")
    if not name.startswith("aoc-migrate ") or step in TARGETS:
        return None
    return Running(step, None if row["seconds"] is None else round(max(0.0, row["seconds"]), 1))


def _built(running: Running, place: Place | None) -> Running:
    """Return the same with what the server shows of an index build."""
    if place is None:
        return running
    rate = running.per_second if (running.doing, running.unit) == (place.doing, place.unit) else None
    running = replace(
        running, doing=place.doing, unit=place.unit, per_second=rate, done=None, total=None, percent=None
    )
    return running if place.unit is None else running.at(place.done, place.total)


def _waiting(session: Session, pid: int, running: Running) -> Running:
    """Return the same with the sessions that block it now."""
    blockers = Blockers(session)
    if not blockers.observe(session, pid).ahead:
        return running
    return replace(running, waits_for=blockers.waiting(), left_seconds=None)
