"""How careful to be, from options and environment variables; options win over the environment."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from aoc_migrate.errors import refused

THROTTLE_QUERY = "AOC_THROTTLE_QUERY"
"""The variable that holds the query of --throttle-query."""
LONGEST_NAME = 63
"""The bytes of a name that PostgreSQL keeps: it cuts a longer one off."""


@dataclass(frozen=True)
class Limits:
    """How long to wait for what, in seconds.

    ``max_stall``: longest time that writers may wait behind one of our strong locks. ``deadline``: how long
    one step may keep trying. ``lock_wait``: how long to wait for another runner. ``show_queries``: show
    the query text of blockers.

    Of the backfill: a batch aims at ``batch_time`` and reads at most ``batch_rows``; ``pace`` is the share of the
    time spent working. It pauses while standbys, slots or the archive are more than ``max_lag_bytes`` behind, or
    standbys more than ``max_lag_seconds`` (None: never for that), while ``throttle_query``, the operator's SQL,
    returns true, and at most ``snapshot_wait`` in all while a snapshot is older than ``old_snapshot``, and
    ``vacuum_wait`` while a vacuum is at work.
    """

    max_stall: float = 0.1
    deadline: float = 600.0
    lock_wait: float = 1800.0
    show_queries: bool = False
    batch_time: float = 0.05
    batch_rows: int = 2_000
    pace: float = 1.0
    max_lag_bytes: int | None = 2**30
    max_lag_seconds: float | None = None
    old_snapshot: float = 10.0
    snapshot_wait: float = 60.0
    vacuum_wait: float = 60.0
    throttle_query: str | None = field(default=None, repr=False)  # never printed: it may hold anything

    def shown(self) -> dict[str, object]:
        """Return the limits as a report shows them: of the query only whether there is one."""
        return {**asdict(self), "throttle_query": self.throttle_query is not None}


@dataclass(frozen=True)
class Flags:
    """The guide's flags of the services, as far as they matter here (domain.md, Flags of the services)."""

    guard_enabled: bool = True
    allow_supersedes_retrofit: bool = False
    verifier_user: str = "stella-aoc-verify"
    metrics_enabled: bool = True


def read_limits(environment: Mapping[str, str] = os.environ) -> Limits:
    """Return the limits where there are no options: the usual ones, with the query of the environment."""
    return Limits(throttle_query=environment.get(THROTTLE_QUERY) or None)


def read_flags(environment: Mapping[str, str] = os.environ) -> Flags:
    """Return the guide's flags. Raises Abort (exit 2) for a value that a flag cannot have."""
    return Flags(
        _read_boolean("AOC_GUARD_ENABLED", True, environment),
        _read_boolean("AOC_ALLOW_SUPERSEDES_RETROFIT", False, environment),
        _read_role("AOC_VERIFIER_USER", "stella-aoc-verify", environment),
        _read_boolean("AOC_METRICS_ENABLED", True, environment),
    )


def _read_boolean(variable: str, default: bool, environment: Mapping[str, str]) -> bool:
    value = environment.get(variable, "").strip().lower()
    if value not in ("", "true", "false"):
        raise refused(f"{variable} is neither true nor false. Write {variable}={str(default).lower()}")
    return default if not value else value == "true"


def _read_role(variable: str, default: str, environment: Mapping[str, str]) -> str:
    """Return the name of a role that PostgreSQL lets exist under exactly this name."""
    role = environment.get(variable) or default
    reserved = role in ("public", "none") or role.startswith("pg_")
    if reserved or not role.isprintable() or len(role.encode()) > LONGEST_NAME:
        raise refused(
            f"{variable} cannot be the name of a role. Write one line of at most {LONGEST_NAME} bytes that is not "
            f"public or none and does not begin with pg_, such as {variable}={default}"
        )
    return role
