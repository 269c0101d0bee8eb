"""One connection to one target, whose settings depend neither on the role nor on the server."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, LiteralString, cast

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from aoc_migrate.database.engines import refusing_others
from aoc_migrate.database.error_text import first_line
from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.log import say
from aoc_migrate.database.majors import OLDEST, major
from aoc_migrate.database.own_name import application_name
from aoc_migrate.database.pinned_settings import LIFT, SEARCH_PATH, SETTINGS, kept_alive, pin
from aoc_migrate.database.relation import Relation, Schema, literal
from aoc_migrate.database.targets import Target
from aoc_migrate.database.transcript import Transcript
from aoc_migrate.database.worker_path import begun, lone
from aoc_migrate.errors import Abort
from aoc_migrate.report.accepted import NOTHING, Accepted
from aoc_migrate.report.facts.running import Running
from aoc_migrate.report.model import Finding, StepReport, finding

if TYPE_CHECKING:
    from aoc_migrate.database.steering import Steering

Row = dict[str, Any]
Time = float | None
Parameters = Sequence[Any] | Mapping[str, Any]


@dataclass
class Session:
    """A connection in autocommit, with the target, limits and flags that hold for this run.

    ``steps`` collects what ran: name, attempts, and milliseconds waited, held and in all. ``on_step`` is called
    with the name of each step that begins, and with None when it has ended; ``on_note`` with the report of each
    step that ran; ``on_progress`` with another session, and how far the step is. ``transcript`` writes down what
    runs. ``kept_links``: the first ids of rows that a downgrade left alone, because others had changed them.
    ``findings`` are those of steps that go on; ``accepted`` are those that a person accepts. ``checks``: what was
    checked. ``full_reads``: how often the raw table was read whole, by what for. ``links_counted``: the wrong
    links when last counted. ``linked_at``: when a backfill's last scan found none. ``estimate`` returns the
    milliseconds that steps will take, if measured beforehand. ``unseen``: what the log has reported as hidden.
    ``on_cluster``: Citus manages tables of ours. With the run lock, ``steering`` is what is asked of the run,
    and ``plans`` are the names of plans that are kept, by query.
    """

    target: Target
    connection: psycopg.Connection[Any]
    command: str
    limits: Limits = field(default_factory=Limits)
    flags: Flags = field(default_factory=Flags)
    accepted: Accepted = NOTHING
    steps: list[StepReport] = field(default_factory=list)
    kept_links: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    checks: list[tuple[str, int | None, str, int]] = field(default_factory=list)
    full_reads: Counter[str] = field(default_factory=Counter)
    links_counted: int | None = None
    linked_at: datetime | None = None
    plans: dict[str, str] | None = None
    on_step: Callable[[str | None], None] | None = None
    on_note: Callable[[StepReport], None] | None = None
    on_progress: Callable[["Session", Running], None] | None = None
    estimate: Callable[[Any], float | None] = lambda _: None
    transcript: Transcript | None = None
    unseen: set[str] = field(default_factory=set, init=False)
    on_cluster: bool = False
    steering: "Steering | None" = None
    _begun: float = field(default_factory=time.monotonic, init=False)
    _failed: float | None = field(default=None, init=False)

    @property
    def schema(self) -> Schema:
        """The schema that holds the target's tables."""
        return Schema(self.target.schema)

    @property
    def raw(self) -> Relation:
        """The target's raw table."""
        return self.schema[self.target.table]

    @property
    def elapsed(self) -> float:
        """Seconds since the latest statement began, until it failed where it did."""
        return (self._failed or time.monotonic()) - self._begun

    def say(self, message: str, event: str = "note", level: str = "info", **fields: Any) -> None:
        """Write one line of log on the target; see `log.say`."""
        say(message, self.target.name, event=event, level=level, **fields)

    def note(
        self, statement: str, attempts: int = 1, *, waited: Time = None, held: Time = None, total: Time = None
    ) -> StepReport:
        """Keep a step for the report, by the name it has there, with its times in seconds; return it."""
        waited_ms, held_ms, total_ms = (t if t is None else round(t * 1000, 1) for t in (waited, held, total))
        step = StepReport(statement, attempts, waited_ms, held_ms, total_ms)
        self.keep(step)
        return step

    def checked(self, what: str, checked: int | None, unit: str, failed: int = 0) -> None:
        """Keep for the report that something was checked; see `report.facts.checked.Checked`."""
        self.checks.append((what, checked, unit, failed))

    def keep(self, step: StepReport) -> None:
        """Keep a step that ran for the report, and let those know who follow the steps."""
        if self.steering:
            self.steering.note_pause(step)
        self.steps.append(step)
        if self.on_note:
            self.on_note(step)
        if self.on_step and not self.connection.closed:
            self.on_step(None)

    def rows(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        """Return the rows of a query; without ``parameters`` a ``%`` in it is just a ``%``."""
        with self.transcribed(sql, parameters), self.settled(sql):
            cursor = self.connection.cursor(row_factory=dict_row)
            return cursor.execute(self._sql(sql, parameters), parameters).fetchall()

    def transcribed(self, sql: str, parameters: Parameters | None) -> AbstractContextManager[None]:
        """Write a statement down while it runs, if this session has a transcript."""
        script = self.transcript
        return script.statement(self._sql(sql, parameters), parameters) if script else nullcontext()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block in one transaction."""
        try:
            with begun(self.connection, self.on_cluster):
                yield
        except BaseException:
            if self.transcript:
                self.transcript.rollback()
            raise
        if self.transcript:
            self.transcript.commit()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Run one statement in a transaction with what `quietly` runs; the transcript has the statement alone."""
        written = self.transcript.alone() if self.transcript else nullcontext()
        with written, begun(self.connection, self.on_cluster):
            yield

    def quietly(self, sql: str) -> list[Row]:
        """Run a statement that the transcript leaves out, and return its rows, if it has any."""
        with self.settled(), self.connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(self._sql(sql, None))
            return cursor.fetchall() if cursor.description else []

    def row(self, sql: str, parameters: Parameters | None = None) -> Row:
        """Return the only row of a query."""
        (row,) = self.rows(sql, parameters)
        return row

    def value(self, sql: str, parameters: Parameters | None = None) -> Any:
        """Return the only column of a query's first row, or None without a row."""
        row = next(iter(self.rows(sql, parameters)), None)
        return next(iter(row.values())) if row else None

    def run(self, sql: str, parameters: Parameters | None = None) -> int:
        """Run a statement that returns no rows; return how many it wrote, -1 where it writes none."""
        with self.transcribed(sql, parameters), self.settled(sql):
            return self.connection.execute(self._sql(sql, parameters), parameters).rowcount

    @contextmanager
    def settled(self, sql: str = "") -> Iterator[None]:
        """Leave a usable connection when a signal ends a statement, so that the clean-up can run on it.

        psycopg cancels the statement only if the signal arrives while it waits, not while it sends.
        """
        self._begun, self._failed = time.monotonic(), None
        with lone(self.connection, sql, self.on_cluster):
            try:
                yield
            except psycopg.Error:
                self._failed = time.monotonic()
                raise
            except (SystemExit, KeyboardInterrupt):
                if self.connection.pgconn.transaction_status == TransactionStatus.ACTIVE:
                    with suppress(psycopg.Error):
                        self.connection.cancel_safe(timeout=3)
                        while self.connection.pgconn.get_result() is not None:
                            continue
                raise

    def quoted(self, name: str) -> str:
        """Return a name in the form of SQL, quoted where it needs quotes."""
        return str(self.value("SELECT quote_ident(%s)", (name,)))

    def pasteable(self, sql: str, parameters: Parameters | None = None) -> str:
        """Return a statement with its values in it, as literals: ready to paste into psql."""
        if not parameters:
            return sql
        return psycopg.ClientCursor(self.connection).mogrify(self._sql(sql, parameters), parameters)

    def _sql(self, text: str, parameters: Parameters | None) -> LiteralString:
        """Return SQL for psycopg, which takes a ``%`` in the schema's name for a placeholder unless it is doubled.

        The cast is safe: names are rendered by `Relation`, values are always bound.
        """
        if parameters is not None and "%" in self.target.schema:
            for name in {str(self.schema), literal(str(self.schema))[1:-1]}:
                text = text.replace(name, name.replace("%", "%%"))
        return cast(LiteralString, text)  # type: ignore[redundant-cast]

    def set(self, setting: str, value: str) -> None:
        """Set a parameter of this session."""
        self.value("SELECT set_config(%s, %s, false)", (setting, value))


@contextmanager
def connect(
    target: Target, command: str, limits: Limits, flags: Flags, accepted: Accepted = NOTHING
) -> Iterator[Session]:
    """Open a session on ``target``, and close it. Raises Abort ``unreachable`` (exit 3), ``other-engine`` (2)."""
    try:
        connection = psycopg.connect(
            kept_alive(target.conninfo),
            autocommit=True,
            client_encoding="UTF8",  # with the server's SQL_ASCII psycopg would return bytes
            application_name=application_name(command, target.name),
            prepare_threshold=None,
        )
        session = Session(target, connection, command, limits, flags, accepted)
        with refusing_others(connection, target):
            _prepare(session)
    except psycopg.Error as error:
        words = {"target": target.name, "variable": target.variable, "reason": first_line(error, target)}
        raise Abort(finding("unreachable", target.name, **words)) from None
    with connection:
        yield session


def _prepare(session: Session) -> None:
    # Before a function or an operator is named; and the role's own timeout may be short.
    session.run(f"SET search_path = {SEARCH_PATH}; SET statement_timeout = 0")
    settings = {**SETTINGS, "lock_timeout": f"{round(session.limits.deadline * 1000)}ms"}
    ours = "unnest(%s::text[], %s::text[]) AS ours (ours, wanted)"
    lift = f" UNION ALL {LIFT}" if major(session.connection) >= OLDEST else ""
    session.rows(pin(ours) + lift, (list(settings), list(settings.values())))
