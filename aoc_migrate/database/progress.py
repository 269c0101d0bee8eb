"""Progress of a long step on stderr: a line every few seconds, as `kubectl logs` shows it best."""

import time

from aoc_migrate.database.session import Session


class Progress:
    """Count what is done and say so at most every ``interval`` seconds."""

    def __init__(self, session: Session, unit: str, interval: float = 5.0) -> None:
        self.session, self.unit, self.interval = session, unit, interval
        self.done, self.begun, self.told = 0, time.monotonic(), time.monotonic()

    def add(self, count: int) -> None:
        """Add ``count`` and speak if it is time."""
        self.done += count
        now = time.monotonic()
        if now - self.told >= self.interval:
            rate = self.done / (now - self.begun)
            self.session.say(f"{self.done:,} {self.unit}, {rate:,.0f} per second")
            self.told = now
