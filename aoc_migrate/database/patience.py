"""Ends a statement that waits for others for too long, where no ``lock_timeout`` does."""

import time

from aoc_migrate.database.session import Session


class Patience:
    """For how long a statement has been waiting, as another session sees it; ``cancelled``: it was ended for that.

    An index build must not have a ``lock_timeout``, and on a cluster none reaches the nodes. ``limit``: seconds.
    """

    def __init__(self, limit: float) -> None:
        self.limit, self.cancelled = limit, False
        self._since: float | None = None

    def observe(self, other: Session, pid: int, *, waits: bool) -> None:
        """Keep whether session ``pid`` ``waits`` now; cancel its statement when it has waited for too long."""
        now = time.monotonic()
        self._since = (self._since or now) if waits else None
        if not self.cancelled and self._since is not None and now - self._since > self.limit:
            other.value("SELECT pg_cancel_backend(%s::int)", (pid,))  # Citus has one for bigint as well
            self.cancelled = True
