"""The batches of `dedupe`, `repair` and --restore: no row stays locked while one of them waits for another."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import psycopg

from aoc_migrate.contract.model import Contract
from aoc_migrate.database.batches import batches
from aoc_migrate.database.progress import Progress
from aoc_migrate.database.session import Session
from aoc_migrate.errors import Abort
from aoc_migrate.report.facts.raw_rows import WorkFacts
from aoc_migrate.report.model import Report, finding

BATCH = 500  # rows at most; each is locked until its batch ends
SIZE = "%(size)s"  # stands for that number in a batch
ROW_LOCK_WAIT = 0.5  # seconds for a row that others have locked; then the batch lets go of its own and tries again
_DOING = {"repaired": "repair", "moved": "move", "restored": "restore"}


def run_batches(
    session: Session, report: Report, contract: Contract, fact: str, batch: str, written: tuple[str, ...]
) -> None:
    """Run a batch until it sees no row more; the report's ``fact`` is how many rows were done, also when it stops.

    ``written``: the tables of ours that it writes to. Raises Abort ``deadline``, ``connection-lost``,
    ``changed-since``, ``rows-lost``, ``foreign-object`` or ``step-failed``.
    """
    label, progress = f"{_DOING[fact]} rows of {contract.table}", Progress(session, "rows")
    statement = batch.replace("%", "%%").replace(f"%{SIZE}", SIZE)  # a column's name may have one
    limits = replace(session.limits, batch_rows=min(BATCH, session.limits.batch_rows))
    session.set("row_security", "off")  # a policy that would hide rows makes it fail instead
    count = 0
    report.put(_done(report, fact, count))
    inner = replace(session, limits=limits)
    with batches(inner, label, contract.table, written, math.inf) as running, _brief(session):
        while (page := running.run(statement, lambda size: {"size": size}))["seen"]:
            count += page["written"]
            report.put(_done(report, fact, count))
            progress.add(page["written"])
            if page.get("left"):
                raise Abort(finding("changed-since", contract.table, rows=page["left"]))


def _done(report: Report, fact: str, count: int) -> WorkFacts:
    return replace(report.get(WorkFacts) or WorkFacts(), **{fact: count})


@contextmanager
def _brief(session: Session) -> Iterator[None]:
    """Wait only for a moment for what others have locked."""
    session.set("lock_timeout", f"{round(ROW_LOCK_WAIT * 1000)}ms")
    try:
        yield
    finally:
        with suppress(psycopg.Error):  # an error of the block matters more than this one
            session.set("lock_timeout", f"{round(session.limits.deadline * 1000)}ms")
