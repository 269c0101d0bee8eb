"""Findings and reports: what a command found, what it changed, and what to type next."""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from aoc_migrate.report.fields import Facts, Milliseconds
from aoc_migrate.report.messages import MESSAGES

Severity = Literal["error", "warning", "info"]

FINDINGS, USAGE, TRY_LATER, FAILED = 1, 2, 3, 4


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong (or worth knowing), with its remedy.

    ``count`` is over everything, ``rows`` the number of rows concerned; ``sample`` obeys ``--limit`` and
    holds ids, keys and counts, never document contents. ``statement`` finds the rows or repairs them.
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
    """What to do next. ``command`` can be pasted as it is, ``choices`` are other commands, ``note`` is prose."""

    command: str = ""
    choices: tuple[str, ...] = ()
    note: str = ""

    def __bool__(self) -> bool:
        """Return whether it says anything."""
        return bool(self.command or self.choices or self.note)


@dataclass
class StepReport:
    """What ran, under the name that it has in reports. None is what does not apply to it.

    ``waited_ms`` is the longest wait for a strong lock and ``held_ms`` how long that was held. Work in batches
    has ``rows`` written, ``batches`` and the ``longest_ms`` of them, and how long it paused, by reason. ``kept``
    are the rows that a downgrade left alone because others had changed them.
    """

    statement: str
    attempts: int = 1
    waited_ms: Milliseconds | None = None
    held_ms: Milliseconds | None = None
    total_ms: Milliseconds | None = None
    estimated_ms: Milliseconds | None = None
    rows: int | None = None
    kept: int | None = None
    batches: int | None = None
    longest_ms: Milliseconds | None = None
    paused_ms: Milliseconds | None = None
    pauses: dict[str, float] | None = None

    @property
    def stall_ms(self) -> float | None:
        """How long others may have waited for it; None where it took no strong lock."""
        return None if self.held_ms is None else round((self.waited_ms or 0) + self.held_ms, 3)


F = TypeVar("F", bound=Facts)


@dataclass
class Report:
    """The findings of one command on one target.

    ``facts`` are numbers and names worth keeping in the ticket, one group of each kind; ``steps`` say what ran.
    ``revision`` is None at base, and while ``reached`` is false. ``run`` is its number in the ledger. ``failed``:
    it ended half way, or what it did is not verified (exit 4). ``parameters`` are the limits and flags that held,
    ``seconds`` how long it took.
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
    reached: bool = False
    server_version: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def errors(self) -> list[Finding]:
        """The findings that stop."""
        return [f for f in self.findings if f.severity == "error"]

    @property
    def exit_code(self) -> int:
        """0 without errors; 4 if something had been changed by then; else the highest of the findings'."""
        if not self.errors:
            return 0
        return FAILED if self.failed else max(f.exit_code for f in self.errors)

    def put(self, group: Facts) -> None:
        """Add a group of facts; it takes the place of one of its kind."""
        self.facts = (*(known for known in self.facts if type(known) is not type(group)), group)

    def get(self, kind: type[F]) -> F | None:
        """Return the facts of this kind, if there are any."""
        return next((group for group in self.facts if isinstance(group, kind)), None)


def finding(slug: str, subject: str, **values: Any) -> Finding:
    """Return the finding ``slug``, its texts filled with ``subject`` and ``values``.

    ``count``, ``rows``, ``statement``, ``sample``, ``exit_code`` go to the finding; everything else only to the
    texts.
    """
    message = MESSAGES[slug]
    words = {"subject": subject, "table": subject.partition(".")[0], "count": 0, "rows": 0, **values}
    words |= {"n_rows": _counted(words["rows"], "row"), "n_groups": _counted(words["count"], "group")}
    shown = {key: f"{value:,}" if type(value) is int else value for key, value in words.items()}
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
