"""Measures how long a position that has no time stamp has stayed the same."""

import time


class Marks:
    """The latest mark of each name, and since when it has been that."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[str, float]] = {}

    def unchanged(self, name: str, mark: str) -> float:
        """Return for how many seconds ``name`` has had the same ``mark``."""
        now = time.monotonic()
        before, since = self._since.get(name, ("", now))
        if before != mark:
            since = now
        self._since[name] = (mark, since)
        return now - since
