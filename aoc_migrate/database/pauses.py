"""When a step that writes much holds still: until standbys, slots and the archive follow, and others had a turn.

Looks once a second, between two batches, when this session holds no lock and no snapshot. Old snapshots cost
more than they are worth waiting for without end (`reference/limits.md` 5.1): they are waited for in all so long
as ``limits.snapshot_wait``, then the step goes on and the report warns.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aoc_migrate.database import others
from aoc_migrate.database.batch_size import BOUND
from aoc_migrate.database.observing import only_observing
from aoc_migrate.database.session import Row, Session
from aoc_migrate.errors import Abort
from aoc_migrate.report.model import Finding, finding

LOOK, TELL = 1.0, 5.0  # seconds between two looks, and between two lines about the same pause

_REMEDIES = {
    "standby": "Wait until it has caught up, or allow more with --max-lag",
    "slot": "Start its consumer, or drop it: SELECT pg_drop_replication_slot('NAME'); or raise --max-lag",
    "archive": "Repair archive_command (the server's log says why it fails), or give --max-lag off",
    "lock": "Let who waits have its lock, or end it: SELECT pg_terminate_backend(PID);",
}


@dataclass(frozen=True)
class Reason:
    """Why to hold still: its kind (standby, slot, archive, snapshot, lock), and who it is in a few words."""

    kind: str
    words: str


class Pauses:
    """The pauses of one step that writes to ``table``; ``seconds`` are those spent on each kind of reason.

    ``waiters`` is set from outside when sessions are seen to wait for rows that this one has locked. ``bound`` is
    the ``statement_timeout`` in seconds.
    """

    def __init__(self, session: Session, label: str, table: str, bound: float = BOUND) -> None:
        self.session, self.label, self.table, self.bound = session, label, table, bound
        self.seconds: dict[str, float] = {}
        self.waiters = 0
        self._looked: float | None = None
        self._marks: dict[str, tuple[str, float]] = {}
        self._went_on = False

    def hold(self) -> None:
        """Return when nothing speaks against the next batch. Raises Abort ``deadline`` (exit 3)."""
        if self._looked is not None and not self.waiters and time.monotonic() - self._looked < LOOK:
            return
        begun, told = time.monotonic(), 0.0
        while reason := self._look():
            waited = time.monotonic() - begun
            if waited >= self.session.limits.deadline and reason.kind in _REMEDIES:
                raise Abort(self._gave_up(reason, waited))
            if not told or time.monotonic() - told >= TELL:
                told = time.monotonic()
                self.session.say(f"{self.label}: pausing because {reason.words}; {waited:.0f} s so far")
            self._sleep(reason)
        self._looked = time.monotonic()
        if told:
            self.session.say(f"{self.label}: goes on after a pause of {self._looked - begun:.0f} s")

    def _look(self) -> Reason | None:
        """Return a reason to hold still. What cannot be seen is none."""
        limits = self.session.limits
        looks: dict[str, Callable[[], Iterator[Reason]]] = {f"who waits for {self.table}": self._waiting}
        if limits.max_lag_bytes is not None or limits.max_lag_seconds is not None:
            looks["how far standbys, slots and the archive are behind"] = self._behind
        looks["who holds old snapshots"] = self._snapshots
        for what, reasons in looks.items():
            with only_observing(self.session, what, self.bound):
                if reason := next(reasons(), None):
                    return reason
        return None

    def _sleep(self, reason: Reason) -> None:
        begun = time.monotonic()
        try:
            time.sleep(min(LOOK, self.session.limits.deadline))
        finally:
            self.seconds[reason.kind] = self.seconds.get(reason.kind, 0.0) + time.monotonic() - begun

    def _waiting(self) -> Iterator[Reason]:
        if self.waiters:
            waiting, self.waiters = self.waiters, 0
            yield Reason(
                "lock", f"{waiting} session{'s wait' if waiting > 1 else ' waits'} for rows that it locks"
            )
        for row in others.queue(self.session, self.session.schema[self.table]):
            yield Reason("lock", f"{row['name']} waits for a lock on {self.table}")

    def _behind(self) -> Iterator[Reason]:
        for kind, rows in others.behind(self.session).items():
            yield from (Reason(kind, words) for row in rows if (words := self._lag(kind, row)))

    def _lag(self, kind: str, row: Row) -> str:
        """Return how far behind it is, or nothing where that is within bounds."""
        name = row["name"] if kind == "archive" else f"{kind} {row['name']!r}"
        most = self.session.limits.max_lag_bytes
        if most is not None and row["bytes"] is not None and row["bytes"] > most:
            return f"{name} is {row['bytes'] / 2**20:,.1f} MB behind"
        if kind == "archive":
            return f"{name} fails" if row["seconds"] is not None else ""
        longest = self.session.limits.max_lag_seconds
        seconds = self._late(name, row)
        return f"{name} is {seconds:.1f} s behind" if longest is not None and seconds > longest else ""

    def _late(self, name: str, row: Row) -> float:
        """Return the seconds that a standby is behind: what it says, or for how long it has replayed nothing.

        What lacks nothing is not behind: its lag is that of its last answer, which may be ten seconds old.
        """
        if row["bytes"] == 0:
            return 0.0
        waits = bool(row["bytes"]) and row.get("replayed") is not None
        stands = self._same(f"{name} of pid {row['pid']}", row["replayed"]) if waits else 0.0
        return max(stands, row["seconds"] or 0.0)

    def _snapshots(self) -> Iterator[Reason]:
        """Yield who holds an old snapshot, as long as there is time left for that."""
        if self._went_on:
            return
        limits = self.session.limits
        names = [
            f"pid {row['pid']} ({row['role']}, {row['application']!r}, open for {row['seconds']} s)"
            for row in others.old_transactions(self.session, limits.old_snapshot)
        ]
        names += [
            f"prepared transaction {row['gid']!r}"
            for row in others.prepared(self.session)
            if row["seconds"] >= limits.old_snapshot
        ]
        names += [row["name"] for row in others.horizons(self.session) if self._stands_still(row)]
        if not names:
            return
        if self.seconds.get("snapshot", 0.0) < min(limits.snapshot_wait, limits.deadline):
            yield Reason("snapshot", f"an old snapshot keeps dead rows from being cleaned: {'; '.join(names)}")
            return
        self._went_on = True
        self.session.say(f"{self.label}: goes on although old snapshots are open: {'; '.join(names)}")
        self.session.findings.append(
            finding("snapshot-held", self.table, names="; ".join(names), label=self.label)
        )

    def _stands_still(self, row: Row) -> bool:
        """Return whether a slot or a standby has held the same transaction id for too long."""
        return self._same(f"{row['name']} of pid {row['pid']}", row["mark"]) > self.session.limits.old_snapshot

    def _same(self, name: str, mark: str) -> float:
        """Return for how many seconds ``name`` has been seen to have the same ``mark``."""
        now = time.monotonic()
        before, since = self._marks.get(name, ("", now))
        if before != mark:
            since = now
        self._marks[name] = (mark, since)
        return now - since

    def _gave_up(self, reason: Reason, waited: float) -> Finding:
        return finding(
            "deadline",
            self.label,
            what="could not go on",
            waited=f"{waited:.0f} s",
            attempts=1,
            blockers=f"It paused because {reason.words}.",
            remedy=f"{_REMEDIES[reason.kind]}. Then run the same command again; it goes on behind its last batch.",
        )
