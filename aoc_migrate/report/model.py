"""Findings and reports: what a command found, what it ran, and what to type next."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from aoc_migrate.report.fields import Bytes, Facts, Milliseconds, Title
from aoc_migrate.report.messages import MESSAGES

SHOWN = "This only shows what --apply would do."
"""The note of a command that shows first and does it with --apply."""

Severity = Literal["error", "warning", "info"]

FINDINGS, USAGE, TRY_LATER, FAILED = 1, 2, 3, 4


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or worth knowing, with its remedy.

    ``count`` and ``rows`` cover everything: what was found, and the affected rows. ``sample`` obeys ``--limit``
    and has ids, keys and counts, never document contents. ``statement`` finds the rows or repairs them.
    """

    slug: str
    subject: str
    problem: str
    help: str
    severity: Severity = "error"
    code: str | None = None
    count: int | None = None
    rows: int | None = None
    statement: str | None = None
    sample: list[dict[str, Any]] = field(default_factory=list)
    exit_code: int = FINDINGS


@dataclass(frozen=True)
class Next:
    """What to do next: a ``command`` to paste, ``choices`` of other commands, and a ``note`` in prose."""

    command: str = ""
    choices: tuple[str, ...] = ()
    note: str = ""

    def __bool__(self) -> bool:
        """Return whether there is anything to do next."""
        return bool(self.command or self.choices or self.note)


@dataclass
class StepReport:
    """A step that ran, by its name in reports. None means that a field does not apply.

    ``waited_ms`` is the longest wait for a strong lock, ``held_ms`` how long it was held. Work in batches has the
    ``rows`` written, the ``batches``, the ``longest_ms`` of a batch, and the ``pauses`` by reason. ``kept`` are
    the rows that a downgrade left as they were because others had changed them. A rehearsal adds its ``phase``,
    and the WAL and the growth of the database from the end of the step before to the end of this one.
    """

    statement: str
    attempts: int = 1
    waited_ms: Milliseconds | None = None
    held_ms: Milliseconds | None = None
    total_ms: Milliseconds | None = None
    estimated_ms: Annotated[Milliseconds, Title("estimate")] | None = None
    rows: int | None = None
    kept: int | None = None
    batches: int | None = None
    longest_ms: Milliseconds | None = None
    paused_ms: Milliseconds | None = None
    pauses: dict[str, float] | None = None
    phase: str | None = None
    wal_bytes: Annotated[Bytes, Title("WAL")] | None = None
    growth_bytes: Annotated[Bytes, Title("growth")] | None = None

    @property
    def stall_ms(self) -> float | None:
        """The longest that others may have waited for the step; None if it took no strong lock."""
        return None if self.held_ms is None else round((self.waited_ms or 0) + self.held_ms, 3)


@dataclass(frozen=True)
class Place:
    """Where a report's target is, and as which role it was reached. None is what could not be learned.

    ``host`` may be the folder of a Unix socket. ``system_identifier`` is that of the server's data: a standby and
    a restored base backup have the one of their origin (PostgreSQL 15 manual, 9.27.11).
    """

    host: str | None = None
    port: int | None = None
    database: str | None = None
    schema: str | None = None
    role: str | None = None
    server_version: str | None = None
    system_identifier: str | None = None

    @property
    def known(self) -> dict[str, str]:
        """What is known of it, by the names that people read."""
        parts = {
            "server": self.host if self.port is None else f"{self.host or 'localhost'}:{self.port}",
            "database": self.database,
            "schema": self.schema,
            "role": self.role,
            "PostgreSQL": self.server_version,
            "system identifier": self.system_identifier,
        }
        return {name: value for name, value in parts.items() if value}


def _now() -> datetime:
    return datetime.now(UTC)


F = TypeVar("F", bound=Facts)


@dataclass
class Report:
    """The findings of one command on one target.

    ``facts`` are numbers and names for the ticket, at most one group of each kind; ``steps`` are what ran.
    ``revision`` is None at base, and unless the database was ``reached``. ``run`` is the number in the ledger.
    ``failed``: the command ended half way, or its result is not verified (exit 4). ``result``: what the verdict
    says besides. ``parameters`` are the limits and flags in force. ``ticket`` names the change ticket, ``plan`` is
    the SHA-256 of the approved plan that ran.
    """

    target: str
    head: str | None = None
    revision: str | None = None
    changed: bool = False
    findings: list[Finding] = field(default_factory=list)
    facts: tuple[Facts, ...] = ()
    steps: list[StepReport] = field(default_factory=list)
    next: Next = Next()
    run: int | None = None
    failed: bool = False
    result: str = ""
    reached: bool = False
    place: Place = Place()
    ticket: str | None = None
    plan: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    started_at: datetime = field(default_factory=_now)
    begun: float = field(default_factory=time.monotonic)
    ended_at: datetime | None = None
    seconds: float | None = None

    @property
    def errors(self) -> list[Finding]:
        """The findings that are errors."""
        return [f for f in self.findings if f.severity == "error"]

    @property
    def exit_code(self) -> int:
        """The exit code: 0 without errors, 4 if the command failed half way, else the highest of the errors'."""
        if not self.errors:
            return 0
        return FAILED if self.failed else max(f.exit_code for f in self.errors)

    def end(self) -> None:
        """Note the time, and how long the command took."""
        self.ended_at, self.seconds = _now(), time.monotonic() - self.begun

    def put(self, group: Facts) -> None:
        """Add a group of facts; it replaces a group of the same kind."""
        self.facts = (*(known for known in self.facts if type(known) is not type(group)), group)

    def get(self, kind: type[F]) -> F | None:
        """Return the facts of this kind, or None."""
        return next((group for group in self.facts if isinstance(group, kind)), None)


def finding(slug: str, subject: str, **values: Any) -> Finding:
    """Return the finding ``slug``, with ``subject`` and ``values`` filled into its texts.

    ``count``, ``rows``, ``statement``, ``sample`` and ``exit_code`` also become fields of the finding.
    """
    message = MESSAGES[slug]
    filled = {"subject": subject, "table": subject.partition(".")[0], "count": 0, "rows": 0, **values}
    filled |= {"n_rows": _counted(filled["rows"], "row"), "n_groups": _counted(filled["count"], "group")}
    shown = {key: f"{value:,}" if type(value) is int else value for key, value in filled.items()}
    kept = {key: values[key] for key in ("count", "rows", "statement", "sample", "exit_code") if key in values}
    return Finding(
        slug=slug,
        subject=subject,
        problem=message.problem.format(**shown),
        help=message.help.format(**shown),
        severity=message.severity,
        code=message.code,
        **{"exit_code": message.exit_code, **kept},
    )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
