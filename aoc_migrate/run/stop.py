"""Going through revisions one by one, and stopping at one of them because somebody asked for that."""

from collections.abc import Callable, Sequence

from aoc_migrate.database import catalog
from aoc_migrate.database.bookkeeping import REHEARSAL
from aoc_migrate.database.obeying import look
from aoc_migrate.database.session import Session
from aoc_migrate.report.model import Finding, finding
from aoc_migrate.revisions.graph import history, position


def between(target: str, current: str | None, goal: str | None) -> list[str | None]:
    """Return the revisions at which the database is on its way from ``current`` to ``goal``; None is base."""
    ids = [None, *(revision.id for revision in history(target))]
    begin, end = position(target, current), position(target, goal)
    return ids[begin + 1 : end + 1] if begin < end else ids[end:begin][::-1]


def go_through(session: Session, way: Sequence[str | None], move: Callable[[str | None], None]) -> str | None:
    """Call ``move`` for each revision of the way, until it is asked to stop; return where that was."""
    for number, reached in enumerate(way):
        move(reached)
        if _stops(session, way, number):
            return reached
    return way[-1]


def _stops(session: Session, way: Sequence[str | None], reached: int) -> bool:
    """Return whether the run is to end here: at the revision asked for, or beyond it, where that came too late."""
    look(session, at_once=True)
    asked = session.steering.asked.stop_after if session.steering else None
    if asked is None or reached == len(way) - 1:
        return False
    names = [revision or "base" for revision in way]
    if asked not in names or catalog.kind(session, REHEARSAL) is not None:
        what = f"the run does not stop after {asked}"
        if what not in session.unseen:
            session.unseen.add(what)
            session.say(f"{what}: it does not come there, or is part of a rehearsal", "control-ignored", "warning")
        return False
    return names.index(asked) <= reached


def stopped(session: Session, reached: str | None, goal: str | None, command: str) -> list[Finding]:
    """Return the finding on a run that ended before its goal; ``command`` goes on."""
    if reached == goal or session.steering is None:
        return []
    words = {"revision": reached or "base", "goal": goal or "base", "command": command}
    return [finding("stopped-as-asked", session.target.name, who=session.steering.who("stop_after"), **words)]
