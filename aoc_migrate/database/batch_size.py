"""The size of the next batch, and the pause after one: a batch aims for a duration, not a number of rows."""

import time
from collections.abc import Callable

from aoc_migrate.database.limits import Limits

FIRST, LEAST = 500, 100  # rows
BOUND = 1.0  # seconds; no batch may take longer, whatever it aims at
_KEEP = (0.75, 1.5)  # a wish within this range of the size changes nothing


class BatchSize:
    """Learns from each batch how many rows fit into ``limits.batch_time``, and keeps to ``limits.pace``.

    ``rows`` is the size of the next batch: from 100, or ``first`` if that is less, to ``limits.batch_rows``, at
    most twice and at least half of the one before. It falls below that only where even those rows do not fit into
    a second.
    """

    def __init__(self, limits: Limits, first: int = FIRST) -> None:
        self.limits = limits
        self.rows = min(first, limits.batch_rows)
        self._least = min(first, LEAST)
        self._per_row: float | None = None

    def learn(self, rows: int, seconds: float) -> None:
        """Learn from a batch that read ``rows`` rows."""
        if not rows:
            return
        now = seconds / rows
        self._per_row = now if self._per_row is None else (self._per_row + now) / 2
        wish = self.limits.batch_time / self._per_row
        if not _KEEP[0] <= wish / self.rows <= _KEEP[1]:
            least = min(self._least, self.limits.batch_rows, 2 * self.rows)
            wish = min(max(wish, self.rows / 2), 2 * self.rows)
            self.rows = round(min(max(wish, least), self.limits.batch_rows))

    def halve(self) -> None:
        """Make the next batch smaller: others waited for this one."""
        self.rows, self._per_row = max(1, self.rows // 2), None

    def too_slow(self) -> None:
        """Make the next batch smaller: this one did not fit into its bound, and no later one of its size may."""
        self.halve()
        self._least = min(self._least, self.rows)

    def rest(self, seconds: float, sleep: Callable[[float], None] = time.sleep) -> None:
        """Sleep after a batch that took ``seconds``, so that ``limits.pace`` of the time is spent working."""
        if self.limits.pace < 1:
            sleep(seconds * (1 / self.limits.pace - 1))
