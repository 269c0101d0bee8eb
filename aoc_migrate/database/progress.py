"""Progress of a long step on stderr: a line every few seconds, which suits `kubectl logs`."""

import time

from aoc_migrate.database.every_seconds import EverySeconds
from aoc_migrate.database.session import Session


class Progress:
    """Counts what is done, and logs it at most every ``interval`` seconds."""

    def __init__(self, session: Session, unit: str, interval: float = 5.0) -> None:
        self.session, self.unit = session, unit
        self.done, self.begun = 0, time.monotonic()
        self._line = EverySeconds(interval, at_once=False)

    def add(self, count: int) -> None:
        """Add ``count``, and write the line if it is due."""
        self.done += count
        if self._line.due():
            rate = self.done / (time.monotonic() - self.begun)
            self.session.say(f"{self.done:,} {self.unit}, {rate:,.0f} per second")
