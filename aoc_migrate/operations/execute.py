"""The executor that runs Steps online: each only where it is needed, under its lock, with bounded stalls."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import pairwise
from typing import TYPE_CHECKING

import psycopg

from aoc_migrate.database import catalog
from aoc_migrate.database.bookkeeping import STATE
from aoc_migrate.database.lock_wait import bounded_lock_wait, failed
from aoc_migrate.database.own_tables import create, lock, own_tables_locked
from aoc_migrate.database.relation import Relation, Schema
from aoc_migrate.database.runner_lock import announce
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.shape import PLAIN, Spread, spread_of
from aoc_migrate.errors import Abort
from aoc_migrate.operations.build import build, wait_for_build
from aoc_migrate.operations.instant import with_access_exclusive
from aoc_migrate.operations.refused_rows import run_on_rows
from aoc_migrate.operations.step import BUILDS, Batches, Kind, Lock, Step, shown, strongest, title
from aoc_migrate.operations.step_reads import count_reads
from aoc_migrate.operations.supersedes.backfill import backfill
from aoc_migrate.operations.supersedes.set_back import restore
from aoc_migrate.report.model import Finding, StepReport, finding

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext


def remarks_on(session: Session, steps: Iterable[Step]) -> Iterator[Finding]:
    """Yield what a plan and a report say of Steps that are needed."""
    for remark in (step.remark for step in steps if step.remark):
        with own_tables_locked(session, STATE):
            found = session.value(f"SELECT ({remark.values})")
        yield from (finding(remark.slug, remark.subject, **values) for values in found or [])


class Online:
    """Runs Steps on a session. ``ran``: the Steps that ran, with what the report says of them.

    Everything runs outside Alembic's own transaction, which ``context`` can leave.
    """

    def __init__(self, session: Session, context: "MigrationContext | None" = None) -> None:
        self.session, self.context = session, context
        self.ran: list[tuple[tuple[Step, ...], StepReport]] = []

    @property
    def schema(self) -> Schema:
        """The schema of the target."""
        return self.session.schema

    @property
    def owner(self) -> str | None:
        """The role that a new raw table will belong to."""
        return self.session.target.table_owner

    def spread(self, table: Relation) -> Spread:
        """Return how ``table`` is spread."""
        return spread_of(self.session, table.name)

    def on_partitions(self, table: Relation) -> "Online | None":
        """Return this executor where ``table`` is partitioned."""
        return self if self.spread(table).partitioned else None

    def run(self, *steps: Step) -> None:
        """Run those of ``steps`` that are needed.

        Raises Abort: an error among the objections (``foreign-object``, ``swap-conflict``), ``deadline`` and
        ``connection-lost`` (exit 3), ``cancelled``, ``row-refused`` or ``step-failed``. An instant that
        fails changes nothing.
        """
        with self._outside(), self._reported(steps):
            for some in self._lock_groups(self.needed(steps)):
                remarks = list(remarks_on(self.session, some))
                self._take(some)
                count_reads(self.session, some)
                self.session.findings += remarks

    def needed(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        """Return the Steps whose result the catalog lacks. Raises Abort for an objection that is an error."""
        asked = ", ".join(
            f"({step.needed}) AS needed_{n}, ({step.objection.reason if step.objection else 'NULL'}) AS reason_{n}"
            for n, step in enumerate(steps)
        )
        kept = catalog.kind(self.session, STATE) is not None
        with own_tables_locked(self.session, STATE) if kept else nullcontext():
            row = self.session.row(f"SELECT {asked}") if steps else {}
        return tuple(
            step
            for n, step in enumerate(steps)
            if not self._objected(step, row[f"reason_{n}"]) and row[f"needed_{n}"]
        )

    def _reports(self, steps: tuple[Step, ...], noted: StepReport) -> None:
        """Keep what the report says of Steps, with what was estimated beforehand."""
        self.ran.append((steps, noted))
        expected = self.session.estimate(steps)
        if expected is not None:
            noted.estimated_ms = round(expected, 1)

    def _objected(self, step: Step, reason: str | None) -> bool:
        """Return whether a Step is left out. Raises Abort where the objection is an error."""
        if step.objection is None or reason is None:
            return False
        found = step.objection.finding(reason)
        if found.severity == "error":
            raise Abort(found)
        self.session.findings.append(found)
        return True

    def _lock_groups(self, steps: tuple[Step, ...]) -> list[tuple[Step, ...]]:
        """Return the groups that share one strong lock: one group, or one a strong Step on a spread table.

        There each Step changes every partition and every shard, under a lock on all of them.
        """
        ends = [
            n + 1
            for n, step in enumerate(steps)
            if step.lock is Lock.ACCESS_EXCLUSIVE and self.spread(step.relation) != PLAIN
        ]
        groups = (steps[start:end] for start, end in pairwise([0, *ends[:-1], len(steps)]))
        return [group for group in groups if group]

    def _take(self, steps: tuple[Step, ...]) -> None:
        match strongest(steps):
            case Lock.ACCESS_EXCLUSIVE:
                times = with_access_exclusive(self.session, steps)
                locked = tuple(step for step in steps if step.lock is Lock.ACCESS_EXCLUSIVE)
                noted = self.session.note(title(locked), times.attempts, waited=times.longest, held=times.held)
                self._reports(locked, noted)
            case Lock.SHARE_UPDATE_EXCLUSIVE:
                self._online_statement(*steps)
            case Lock.ROWS:
                self._batches(*steps)
            case Lock.NONE:
                self._unlocked(steps)

    def _online_statement(self, step: Step) -> None:
        """Run a statement whose lock blocks no reader or writer, by itself, outside a transaction."""
        if step.kind is Kind.DROP_INDEX or step.kind in BUILDS:
            wait_for_build(self.session, step.relation, step.index)
            if not self.needed((step,)):
                return
        with self._timed((step,)):
            if step.kind in BUILDS:
                build(self.session, step)
            else:
                # A rebuild that gave up would leave an INVALID index, just as a build.
                endless = step.kind is Kind.REBUILD_INDEX
                limit, expected = 0 if endless else None, self.session.estimate([step])
                with bounded_lock_wait(self.session, step.relation.name, title([step]), limit, expected):
                    run_on_rows(self.session, step)

    def _batches(self, step: Step) -> None:
        if not isinstance(step, Batches):
            raise TypeError(f"{title([step])} locks rows, but has no batches")
        before = len(self.session.steps)
        if step.kind is Kind.LINK:
            backfill(self.session, step.contract, step.name, self.session.estimate([step]))
        else:
            restore(self.session, step.contract, step.name, self.session.estimate([step]))
        for noted in self.session.steps[before:]:
            self._reports((step,), noted)

    def _unlocked(self, steps: tuple[Step, ...]) -> None:
        """Run Steps that lock only our own tables, in one transaction."""
        if steps[0].kind is Kind.CREATE_BOOKKEEPING:
            create(self.session, *steps[0].objects)
            return
        dropped = [name for step in steps if step.kind is Kind.DROP_BOOKKEEPING for name in step.objects]
        visible = tuple(shown(steps))
        with self._timed(visible) if visible else nullcontext(), self.session.transaction():
            lock(self.session, STATE, *dropped, writes=True)
            for statement in (statement for step in steps for statement in step.sql):
                self.session.run(statement)

    @contextmanager
    def _timed(self, steps: tuple[Step, ...]) -> Iterator[None]:
        label = title(steps)
        announce(self.session, label)
        begun = time.monotonic()
        self.session.say(f"{label} …", "step", step=label)
        yield
        self._reports(steps, self.session.note(label, total=time.monotonic() - begun))

    @contextmanager
    def _reported(self, steps: tuple[Step, ...]) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise Abort(failed(self.session, title(steps), error)) from None

    @contextmanager
    def _outside(self) -> Iterator[None]:
        if self.context is None:
            yield
        else:
            with self.context.autocommit_block():
                yield
