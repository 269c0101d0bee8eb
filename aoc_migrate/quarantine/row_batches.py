"""The batches of `dedupe`, `repair` and --restore, which keep no rows locked while they wait for another row."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import psycopg

from aoc_migrate.contract.model import Contract
from aoc_migrate.database.batch_size import BOUND
from aoc_migrate.database.batches import batches
from aoc_migrate.database.session import Row, Session
from aoc_migrate.errors import Abort
from aoc_migrate.report.facts.raw_rows import WorkFacts
from aoc_migrate.report.model import Report, finding

BATCH = 500  # most rows; each is locked until its batch ends
FIRST = 16  # rows of the first batch: a document may have megabytes
ONE_ROW = 60.0  # seconds for a batch of one row, which cannot be made smaller
SIZE, AFTER = "%(size)s", "%(after)s"  # the placeholders of that number, and of where the batch before ended
ROW_LOCK_WAIT = 0.5  # seconds for a row that another session has locked; then the batch rolls back and is retried
Batch = Callable[[int | None, Any], Row]
_VERBS = {"repaired": "repair", "moved": "move", "restored": "restore"}


def one_statement(session: Session, statement: str) -> Batch:
    """Return the batch that is one statement, of `SIZE` rows from `AFTER` on."""
    escaped = statement.replace("%", "%%")  # a column's name may contain one
    for placeholder in (SIZE, AFTER):
        escaped = escaped.replace(f"%{placeholder}", placeholder)
    return lambda size, after: session.row(escaped, {"size": size, "after": after})


def run_batches(
    session: Session,
    report: Report,
    contract: Contract,
    fact: str,
    batch: Batch,
    tables: tuple[str, ...],
    total: int | None = None,
    after: Any = "",
    bound: float = BOUND,
) -> None:
    """Run ``batch`` until it has seen all rows; count those in the report's ``fact``, even if it fails.

    A batch is a function of the most rows that it may take, None for any number, and of where the one before
    ended, for the first ``after``. It returns where it ended itself (``last``), how many rows it has seen, chosen
    and written, and how many arrived.

    ``tables``: our own tables that it writes to; ``total``: how many rows there are; ``bound``: the seconds of a
    batch of more than one row, or infinite.

    Raises Abort ``deadline``, ``connection-lost``, ``changed-since``, ``rows-lost``, ``foreign-object`` or
    ``step-failed``.
    """
    label = f"{_VERBS[fact]} rows of {contract.table}"
    limits = replace(session.limits, batch_rows=min(BATCH, session.limits.batch_rows))
    session.set("row_security", "off")  # if a policy would hide rows, the batch fails
    count = 0
    report.put(_counted(report, fact, count))
    inner = replace(session, limits=limits)
    one_row = max(bound, ONE_ROW)
    with (
        batches(inner, label, contract.table, tables, bound, first=FIRST, one_row=one_row) as running,
        _bounded(session, bound),
    ):
        running.progress.count("rows", total)
        while (page := running.run_with(lambda size: batch(size, after)))["seen"]:  # noqa: B023
            count, after = count + page["written"], page.get("last", after)
            report.put(_counted(report, fact, count))
            running.progress.add(page["seen"])
            if page.get("left"):
                raise Abort(
                    finding("changed-since", contract.table, rows=page["left"], target=session.target.name)
                )


def _counted(report: Report, fact: str, count: int) -> WorkFacts:
    return replace(report.get(WorkFacts) or WorkFacts(), **{fact: count})


@contextmanager
def _bounded(session: Session, bound: float) -> Iterator[None]:
    """Wait at most ROW_LOCK_WAIT for a lock inside, and let no statement take longer than ``bound`` seconds."""
    session.set("lock_timeout", f"{round(ROW_LOCK_WAIT * 1000)}ms")
    session.set("statement_timeout", "0" if bound == math.inf else f"{round(bound * 1000)}ms")
    try:
        yield
    finally:
        with suppress(psycopg.Error):  # it must not replace an error of the block
            session.set("lock_timeout", f"{round(session.limits.deadline * 1000)}ms")
            session.set("statement_timeout", "0")
