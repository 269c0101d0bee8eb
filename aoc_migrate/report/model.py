"""Findings and reports: what a command found, what it changed, and what to type next."""

from dataclasses import dataclass, field
from typing import Any, Literal

from aoc_migrate.report.messages import TEXTS

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


@dataclass
class Report:
    """The findings of one command on one target.

    ``facts`` are plain numbers and names worth keeping in the ticket; ``steps`` say what ran, with attempts
    and times in milliseconds. ``revision`` is None at base, and while ``reached`` is false. ``failed``: it
    ended half way, or what it did is not verified (exit 4). ``parameters`` are the limits and flags that held,
    ``seconds`` how long it took.
    """

    target: str
    head: str | None = None
    revision: str | None = None
    changed: bool = False
    findings: list[Finding] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)
    next: str = ""
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


def finding(slug: str, subject: str, **values: Any) -> Finding:
    """Return the finding ``slug``, its texts filled with ``subject`` and ``values``.

    ``count``, ``rows``, ``statement``, ``sample``, ``exit_code`` go to the finding; everything else only to the
    texts.
    """
    text = TEXTS[slug]
    words = {"subject": subject, "table": subject.partition(".")[0], "count": 0, "rows": 0, **values}
    words |= {"n_rows": _counted(words["rows"], "row"), "n_groups": _counted(words["count"], "group")}
    shown = {key: f"{value:,}" if type(value) is int else value for key, value in words.items()}
    kept = {key: values[key] for key in ("count", "rows", "statement", "sample", "exit_code") if key in values}
    return Finding(
        slug=slug,
        subject=subject,
        problem=text.problem.format(**shown),
        help=text.help.format(**shown),
        severity=text.severity,
        code=text.code,
        **{"exit_code": text.exit_code, **kept},
    )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
