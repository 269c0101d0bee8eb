"""The progress of a step: what is done of what, how fast, and what it waits for."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from aoc_migrate.database import log
from aoc_migrate.database.every_seconds import EverySeconds
from aoc_migrate.database.session import Session
from aoc_migrate.report.facts.running import Running

SECONDS_BETWEEN_RECORDS = 5.0  # for `status` in another terminal
_WINDOW = 60.0  # seconds; the rate is that of the last minute, pauses included


class Progress:
    """Counts what a step has done. A thread that observes the step may read and write it as well."""

    def __init__(
        self,
        session: Session,
        step: str,
        unit: str | None = None,
        total: int | None = None,
        *,
        approximate: bool = False,
        estimated_ms: float | None = None,
    ) -> None:
        self.session, self.step, self.approximate, self.estimated_ms = session, step, approximate, estimated_ms
        self.begun = time.monotonic()
        self._waits: tuple[str, float] | None = None
        self._record = EverySeconds(SECONDS_BETWEEN_RECORDS)
        self.count(unit, total)

    def count(self, unit: str | None, total: int | None = None, done: int = 0, doing: str | None = None) -> None:
        """Start to count something else, of which ``done`` is done already."""
        self.doing, self.unit, self.total, self.done = doing, unit, total, done
        self._places = deque([(time.monotonic(), done)])

    def follow(self, unit: str | None, total: int | None, done: int, doing: str) -> None:
        """Set how much another backend has done; when it does something else, start to count that."""
        if (doing, unit) != (self.doing, self.unit):
            self.count(unit, total, done, doing)
        else:
            self.reach(done)

    def add(self, count: int) -> None:
        """Add to what is done."""
        self.reach(self.done + count)

    def reach(self, done: int) -> None:
        """Set how much is done."""
        now, self.done = time.monotonic(), done
        if now - self._places[-1][0] >= 1:
            self._places.append((now, done))
        while len(self._places) > 2 and now - self._places[1][0] >= _WINDOW:
            self._places.popleft()

    def waits(self, reason: str | None) -> None:
        """Set why the step waits, as a phrase, or None once it goes on. The beginning of a wait is logged."""
        begins = reason is not None and self._waits is None
        since = time.monotonic() if self._waits is None else self._waits[1]
        self._waits = None if reason is None else (reason, since)
        if begins:
            log.say_running(self.session.target.name, self.now())

    def now(self) -> Running:
        """Return how far the step has got."""
        now, waits, (since, before) = time.monotonic(), self._waits, self._places[0]
        rate = max(0, self.done - before) / (now - since) if now > since else 0
        running = Running(
            self.step,
            round(now - self.begun, 1),
            self.doing,
            unit=self.unit,
            approximate=self.approximate or None,
            per_second=round(rate, 1) or None,
            waits_for=waits and waits[0],
            waited_seconds=waits and round(now - waits[1], 1),
            estimated_ms=self.estimated_ms and round(self.estimated_ms, 1),
        )
        return running if self.unit is None else running.at(self.done, self.total)

    def record(self, observer: Session) -> None:
        """Record the progress for `status`, on another session: every few seconds, and when a wait begins."""
        waits = self._waits
        if self.session.on_progress and self._record.due(str(waits and waits[1])):
            self.session.on_progress(observer, self.now())


@contextmanager
def shown(progress: Progress) -> Iterator[Progress]:
    """Show the progress while the block runs: a bar on a terminal, elsewhere a line every few seconds."""
    with log.showing(progress.session.target.name, progress.now):
        yield progress
