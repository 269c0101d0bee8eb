"""A limit on how often a log line is repeated."""

import time


class EverySeconds:
    """Decides when a line of log is due: once in ``seconds``, the first time ``at_once`` or after as long.

    A line whose text differs from the last one is always due.
    """

    def __init__(self, seconds: float, *, at_once: bool = True) -> None:
        self.seconds = seconds
        self._last_line: str | None = None
        self._next = time.monotonic() + (0.0 if at_once else seconds)

    def due(self, line: str | None = None) -> bool:
        """Return whether a line may be written now; the next one is due ``seconds`` later."""
        now = time.monotonic()
        if now < self._next and line == self._last_line:
            return False
        self._next, self._last_line = now + self.seconds, line
        return True
