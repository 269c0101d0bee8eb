"""Facts from the ledger, and about the scope of `verify`."""

from dataclasses import dataclass
from typing import Annotated

from aoc_migrate.report.fields import Detail, Facts, Milliseconds, Seconds

Whole = Annotated[str, Detail()]


@dataclass(frozen=True)
class LatestRun:
    """The summary of a run in the ledger."""

    run: int
    command: str
    outcome: str
    revision: str | None
    started_at: str
    took_seconds: Seconds | None
    role: Whole
    host: Whole
    ticket: str | None


@dataclass(frozen=True)
class Run:
    """A run in the ledger: who ran what, from and to which revision, when, for how long, with what outcome.

    ``plan``: the SHA-256 of the approved plan that ran. ``ended_at``: None while it runs, and the last sign of it
    if it was killed. ``rows_written`` and ``longest_stall_ms`` are those of its ``steps_done``. ``controls``: what
    was asked of it while it was under way.
    """

    run: int
    command: str
    from_revision: Whole
    goal: Whole
    revision: str | None
    outcome: str
    step: str | None
    findings: list[str] | None
    started_at: str
    ended_at: Whole | None
    took_seconds: Seconds | None
    steps_done: Annotated[int, Detail()]
    rows_written: Annotated[int, Detail()]
    longest_stall_ms: Annotated[Milliseconds, Detail()] | None
    role: str
    host: Whole
    image: Whole | None
    ticket: str | None
    plan: Whole | None
    version: Whole
    server_version: Whole
    controls: Annotated[tuple[str, ...], Detail()] = ()


@dataclass(frozen=True)
class HistoryFacts(Facts):
    """The latest runs, newest first, and the run whose steps the report shows."""

    runs: tuple[Run, ...]
    steps_of_run: int | None = None


@dataclass(frozen=True)
class VerifyFacts(Facts):
    """The latest runs, the requested scope, and whether the probe could run."""

    latest_runs: tuple[LatestRun, ...]
    tenant: str | None = None
    since_seconds: Seconds | None = None
    probed: bool | None = None


@dataclass(frozen=True)
class VerifierFacts(Facts):
    """The only tenant whose rows the verifier's role sees."""

    tenant: str
