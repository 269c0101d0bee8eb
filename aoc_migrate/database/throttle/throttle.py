"""The throttle of a step with many writes: it pauses between two batches while a signal says Stop.

It evaluates the signals once a second (on a cluster every five), when the session holds no lock and no snapshot.
"""

import time

from aoc_migrate.database.batch_size import BOUND
from aoc_migrate.database.obeying import clock, obey
from aoc_migrate.database.observing import say_unseen
from aoc_migrate.database.progress import Progress
from aoc_migrate.database.session import Session
from aoc_migrate.database.throttle.archive import Archive
from aoc_migrate.database.throttle.old_snapshot import OldSnapshot
from aoc_migrate.database.throttle.operator_query import OperatorQuery
from aoc_migrate.database.throttle.signal import Signal, Stop, Unknown, WritingStep
from aoc_migrate.database.throttle.slot import Slot
from aoc_migrate.database.throttle.standby import Standby
from aoc_migrate.database.throttle.vacuum import Vacuum
from aoc_migrate.database.throttle.waiters import Waiters
from aoc_migrate.errors import Abort
from aoc_migrate.report.formatting import seconds_shown
from aoc_migrate.report.model import Finding, finding

SIGNALS: tuple[type[Signal], ...] = (Waiters, Standby, Slot, Archive, OperatorQuery, Vacuum, OldSnapshot)
"""In the order in which they are evaluated; the first that says Stop pauses the step."""

SECONDS_BETWEEN_EVALUATIONS = 1.0
SECONDS_ON_CLUSTER = 5.0  # each signal asks every node, over new connections


class Throttle:
    """The pauses of one step that writes to ``table``; ``bound`` is its ``statement_timeout`` in seconds."""

    def __init__(
        self, session: Session, label: str, table: str, bound: float = BOUND, progress: Progress | None = None
    ) -> None:
        self.session, self.step = session, WritingStep(session, label, table, bound)
        self.progress = progress or Progress(session, label)
        self.signals = [signal(self.step) for signal in SIGNALS]
        self._evaluated: float | None = None

    @property
    def seconds(self) -> dict[str, float]:
        """The seconds of pause by kind of signal."""
        return {signal.kind: signal.seconds for signal in self.signals if signal.seconds}

    def wait(self) -> None:
        """Return once no signal says Stop. Raises Abort ``deadline`` (exit 3)."""
        if self._is_fresh():
            return
        begun = clock(self.session)
        while stopped := self._stopped():
            (signal, stop), waited = stopped, clock(self.session) - begun
            if signal.remedy and waited >= self.session.limits.deadline:
                raise Abort(self._gave_up(signal, stop, waited))
            self.progress.waits(f"pausing because {stop.reason}")
            self._sleep(signal)
            obey(self.session, self.step.label, self.progress)
        self._evaluated = time.monotonic()
        self.progress.waits(None)

    def close(self) -> None:
        """Close what the signals have opened for themselves."""
        for signal in self.signals:
            signal.close()

    def _is_fresh(self) -> bool:
        """Return whether the last evaluation still counts; sessions that wait for our rows end that at once."""
        if self._evaluated is None or self.step.waiting:
            return False
        seconds = SECONDS_ON_CLUSTER if self.session.on_cluster else SECONDS_BETWEEN_EVALUATIONS
        return time.monotonic() - self._evaluated < seconds

    def _stopped(self) -> tuple[Signal, Stop] | None:
        """Return the first signal that says Stop, and log what cannot be seen."""
        for signal in self.signals:
            match signal.evaluate():
                case Stop() as stop:
                    return signal, stop
                case Unknown(reason):
                    say_unseen(self.session, signal.what, reason)
        return None

    def _sleep(self, signal: Signal) -> None:
        begun = time.monotonic()
        try:
            time.sleep(min(SECONDS_BETWEEN_EVALUATIONS, self.session.limits.deadline))
        finally:
            signal.seconds += time.monotonic() - begun

    def _gave_up(self, signal: Signal, stop: Stop, waited: float) -> Finding:
        return finding(
            "deadline",
            self.step.label,
            what="could not go on",
            waited=seconds_shown(waited),
            attempts=1,
            blockers=f"It paused because {stop.reason}.",
            remedy=f"{signal.remedy} Then run the same command again; it goes on after its last batch.",
        )
