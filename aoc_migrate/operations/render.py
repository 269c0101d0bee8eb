r"""The executor that prints Steps for Alembic's ``--sql``: each below a comment with lock, time and reason.

It cannot query the catalog beforehand. So a Step that depends on what the upgrade found carries its own condition,
and one that repairs changes by others is left out. Outside a transaction, that condition uses psql's ``\gexec``.
"""

import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aoc_migrate.database.limits import Limits
from aoc_migrate.database.questions import index_is_invalid, maintaining
from aoc_migrate.database.relation import Relation, Schema, literal
from aoc_migrate.database.spread.shape import PLAIN, Spread
from aoc_migrate.operations.instant import LEAST_WEAK_WAIT, Instant
from aoc_migrate.operations.step import (
    KEPT,
    STILL_USED,
    Batches,
    Kind,
    Lock,
    Objection,
    Printed,
    Step,
    strongest,
    title,
)
from aoc_migrate.operations.supersedes import printed

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext

OWNER = "aoc_table_owner"
"""The option of Alembic's context that names the owner of a new raw table."""


class Printer:
    """Prints Steps through ``context``, with the default limits."""

    def __init__(self, context: "MigrationContext") -> None:
        self.context, self.limits = context, Limits()

    @property
    def schema(self) -> Schema:
        """The schema of the target."""
        return Schema(str(self.context.version_table_schema))

    @property
    def owner(self) -> str | None:
        """The role that a new raw table will belong to."""
        owner: str | None = self.context.opts.get(OWNER)
        return owner

    def spread(self, _: Relation) -> Spread:
        """Return `PLAIN`: what is printed is for a plain table."""
        return PLAIN

    def on_partitions(self, _: Relation) -> None:
        """Return None: the printed SQL is for a table that is not partitioned."""

    def run(self, *steps: Step) -> None:
        """Print Steps that belong together."""
        wanted = tuple(step for step in steps if step.printed is not Printed.NEVER)
        if not wanted:
            return
        match strongest(wanted):
            case Lock.ACCESS_EXCLUSIVE:
                self._instant(wanted)
            case Lock.NONE:
                for step in wanted:
                    self._step(step)
            case _:
                with self.context.autocommit_block():
                    self._alone(*wanted)

    def _instant(self, steps: tuple[Step, ...]) -> None:
        first = Instant(steps).first
        for step in steps[: steps.index(first)]:
            self._step(step)
        table, stall = first.relation.name, f"{round(self.limits.max_stall * 1000)} ms"
        instant, wait = Instant(steps), min(LEAST_WEAK_WAIT, self.limits.deadline)
        locks = [*instant.weak_locks(wait), *instant.strong_locks(self.limits.max_stall)]
        self._put(
            f"-- ACCESS EXCLUSIVE on {table}, for an instant: waits {stall} at most, and others wait as long.\n"
            "-- SHARE UPDATE EXCLUSIVE first: no reader or writer waits for it, and an autovacuum yields to it.\n"
            + "\n".join(f"{sql};" for sql in locks)
        )
        for step in steps[steps.index(first) :]:
            self._step(step)

    def _step(self, step: Step) -> None:
        """Print a Step inside Alembic's transaction."""
        if step.objection and (step.kind is Kind.RECORD or step.objection.slug == STILL_USED):
            self._object(step.objection)
        body = ";\n".join(step.sql) + ";"
        if step.printed is Printed.ASKING:
            needed = step.needed
            if step.objection and step.objection.slug == KEPT:
                needed = f"({step.objection.reason}) IS NULL AND {needed}"
            body = _block(f"IF {needed} THEN\n{textwrap.indent(body, '  ')}\nEND IF;")
        self._put(f"{comment([step])}\n{body}")

    def _alone(self, step: Step) -> None:
        """Print a Step that runs outside a transaction."""
        if isinstance(step, Batches):
            before = [step.gate, *step.sql] if step.gate else step.sql
            self._put("\n".join([comment([step]), *(f"{sql};" for sql in before)]))
            self._put(f"{printed.HOLDERS}\n\n{printed.procedures(self.limits.deadline)}\n\n{printed.call(step)}")
            return
        if step.objection and step.objection.slug == STILL_USED:
            self._object(step.objection)
        if step.kind is Kind.DROP_INDEX:
            self._put(_refuse_running(step))
        (sql,) = step.sql
        if step.printed is Printed.ASKING:
            self._put(f"{comment([step])}\nSELECT {literal(sql)} WHERE {step.needed}\n\\gexec")
        else:
            self._put(f"{comment([step])}\n{sql};")

    def _object(self, objection: Objection) -> None:
        """Print the statement that ends the script where there is an objection."""
        declare = f"reason text := {objection.reason};"
        raising = f"RAISE EXCEPTION '{objection.subject}: %', reason;"
        wrong = "is used by others" if objection.slug == STILL_USED else "is not as it must be"
        self._put(
            f"-- Stop if {objection.subject} {wrong}.\n"
            + _block(f"IF reason IS NOT NULL THEN\n  {raising}\nEND IF;", declare)
        )

    def _put(self, text: str) -> None:
        self.context.impl.static_output(text)


def comment(steps: Sequence[Step]) -> str:
    """Return the comment above Steps of one kind: what they do, under which lock, for how long, and why."""
    first = steps[0]
    lock = {
        Lock.NONE: "takes no lock on your tables",
        Lock.ROWS: "locks the rows of one batch at a time",
        Lock.SHARE_UPDATE_EXCLUSIVE: f"SHARE UPDATE EXCLUSIVE on {first.relation.name} while it runs",
        Lock.ACCESS_EXCLUSIVE: f"ACCESS EXCLUSIVE on {first.relation.name} for an instant",
    }[first.lock]
    return f"-- {title(steps)}: {lock}; {first.kind.why}."


def tidy(printed_sql: str) -> str:
    r"""Return Alembic's output without empty transactions, and with psql set to stop at an error.

    A statement with ``\gexec`` needs psql, which by default goes on after an error.
    """
    text = re.sub(r"^BEGIN;\n\n((?:--.*\n\n?)*)COMMIT;\n\n", r"\1", printed_sql, flags=re.MULTILINE)
    return "\\set ON_ERROR_STOP on\n\n" + text if "\\gexec" in text else text


def _block(body: str, declare: str = "") -> str:
    declared = f"DECLARE {declare}\n" if declare else ""
    return f"DO $aoc$\n{declared}BEGIN\n{textwrap.indent(body, '  ')}\nEND $aoc$;"


def _refuse_running(step: Step) -> str:
    """Return the statement that ends the script where the index is INVALID and may still be in build elsewhere."""
    holders, name = maintaining(step.relation), step.index.name
    waits = f"RAISE EXCEPTION '{name} is INVALID, and % may be building it: let that end, and run this again',\n  "
    asked = f"IF {index_is_invalid(step.relation, step.index)} AND {holders} IS NOT NULL THEN"
    return "-- No other session may be building it.\n" + _block(f"{asked}\n  {waits}  {holders};\nEND IF;")
