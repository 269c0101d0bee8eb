"""A second connection that observes our session while a statement waits or builds."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from aoc_migrate.database.observing import only_observing
from aoc_migrate.database.session import Session, connect
from aoc_migrate.errors import Abort


@contextmanager
def watched(session: Session, observe: Callable[[Session, int], object], every: float) -> Iterator[None]:
    """Call ``observe`` with another session and our backend's pid ``every`` few seconds, until the block ends.

    Without a second connection the block runs unwatched, and the log says so once. A failed call is repeated.
    """
    ended = threading.Event()
    pid: int = session.value("SELECT pg_backend_pid()")

    def watch() -> None:
        reported = False
        while not ended.wait(every):  # most steps end before the first call
            try:
                with connect(session.target, "watch", session.limits, session.flags) as other:
                    other.unseen, other.on_cluster = session.unseen, session.on_cluster
                    while True:
                        with only_observing(other, "how this step goes on"):
                            observe(other, pid)
                        if ended.wait(every):
                            return
            except (psycopg.Error, Abort) as error:
                reason = error.finding.slug if isinstance(error, Abort) else type(error).__name__
                if not reported:
                    session.say(f"nothing watches this step for now ({reason}); it goes on", "unseen", "warning")
                reported = True

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
