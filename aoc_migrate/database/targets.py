"""Where the targets are and how careful to be, from environment variables and options.

A target is configured when its URL is. Options win over the environment, the environment over defaults.
Secrets stay in ``Target.conninfo``, which is never printed.
"""

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aoc_migrate.errors import refused

RAW_TABLES = {"concelier": "advisory_raw", "excititor": "vex_raw"}
TARGETS = tuple(RAW_TABLES)


@dataclass(frozen=True)
class Target:
    """A named database: libpq connection string, schema of its tables, owner for tables made here."""

    name: str
    conninfo: str = field(repr=False)
    schema: str = "public"
    table_owner: str | None = None

    @property
    def table(self) -> str:
        """The name of its raw table."""
        return RAW_TABLES[self.name]

    def place(self) -> tuple[str, ...]:
        """Return what says where this is (host, port, database, schema), to compare two targets."""
        from psycopg.conninfo import conninfo_to_dict

        known = conninfo_to_dict(self.conninfo)
        host = known.get("hostaddr") or known.get("host") or os.environ.get("PGHOST", "")
        port = known.get("port") or os.environ.get("PGPORT", "5432")
        user = known.get("user") or os.environ.get("PGUSER", "")
        database = known.get("dbname") or os.environ.get("PGDATABASE") or user
        service = known.get("service") or os.environ.get("PGSERVICE", "")
        return (str(service), str(host), str(port), str(database), self.schema)


@dataclass(frozen=True)
class Limits:
    """How long to wait and for what, in seconds.

    ``max_stall``: longest time that writers may wait behind one of our strong locks. ``deadline``: how long
    one step may go on trying. ``lock_wait``: how long to wait for another runner. ``show_queries``: name
    what blocks with the text of its query.

    Of the backfill: ``batch_time`` is what a batch aims at, ``batch_rows`` the most that it looks at, ``pace`` the
    share of the time spent working. It pauses while standbys, slots or the archive are more than
    ``max_lag_bytes`` behind, or standbys more than ``max_lag_seconds`` (None: never for that); and for
    ``snapshot_wait`` at most while a snapshot is older than ``old_snapshot``.
    """

    max_stall: float = 0.1
    deadline: float = 600.0
    lock_wait: float = 1800.0
    show_queries: bool = False
    batch_time: float = 0.05
    batch_rows: int = 20_000
    pace: float = 1.0
    max_lag_bytes: int | None = 2**30
    max_lag_seconds: float | None = None
    old_snapshot: float = 10.0
    snapshot_wait: float = 60.0


@dataclass(frozen=True)
class Flags:
    """The guide's flags of the services, as far as they matter here (domain.md, Flags of the services)."""

    guard_enabled: bool = True
    allow_supersedes_retrofit: bool = False
    verifier_user: str = "stella-aoc-verify"
    metrics_enabled: bool = True


def conninfo_of(url: str) -> str:
    """Return the conninfo of a URL, as libpq reads it without a driver in its scheme, or of a conninfo string.

    Raises ValueError for what libpq refuses, and for a URL whose host, port or database must be a part of a
    password that is not percent-encoded.
    """
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    match = re.match(r"postgres(?:ql)?(?:\+\w+)?://", url, re.IGNORECASE)
    rest = url[match.end() :] if match else ""
    with suppress(ProgrammingError):
        found = conninfo_to_dict(f"postgresql://{rest}" if match else url)
        if not match or _is_place(found, rest):
            return make_conninfo("", **found)
    raise ValueError("no place")  # and not the URL: it may hold a password


def _is_place(found: Mapping[str, Any], rest: str) -> bool:
    """Return whether host, port and database of a URL, given without its scheme, are no parts of a password."""
    host, port = str(found.get("host", "")), str(found.get("port", ""))
    database = rest.partition("/")[2].partition("?")[0]  # not decoded: its name may have an encoded @
    return not (re.search("[@?&=]", host) or re.search("[^0-9,]", port) or "@" in database)


def read_targets(environment: Mapping[str, str] = os.environ) -> dict[str, Target]:
    """Return the configured targets in order. Raises Abort (exit 2) for what cannot be meant."""
    targets = {name: target for name in TARGETS if (target := _read_target(name, environment))}
    places = {target.place() for target in targets.values()}
    if len(places) < len(targets):
        raise refused(
            "CONCELIER_DATABASE_URL and EXCITITOR_DATABASE_URL name the same database and schema; their "
            "histories would mix. Give one of them another database, or set EXCITITOR_DATABASE_SCHEMA."
        )
    return targets


def _read_target(name: str, environment: Mapping[str, str]) -> Target | None:
    prefix = name.upper()
    url = _read_url(f"{prefix}_DATABASE_URL", environment)
    if not url:
        return None
    try:
        conninfo = conninfo_of(url)
    except ValueError:
        raise refused(
            f"{prefix}_DATABASE_URL is not a PostgreSQL URL. Write it as "
            "postgresql://user:password@host:5432/database and percent-encode the password ("
            """python3 -c "import urllib.parse; print(urllib.parse.quote(input(), safe=''))"), """
            "or leave the password out and set PGPASSWORD or PGPASSFILE."
        ) from None
    return Target(name, conninfo, *read_place(name, environment))


def read_place(name: str, environment: Mapping[str, str] = os.environ) -> tuple[str, str | None]:
    """Return what is known of a target without a URL: schema, and owner for tables made here.

    Raises Abort (exit 2) for a schema whose name ends our DO blocks.
    """
    prefix = name.upper()
    schema = environment.get(f"{prefix}_DATABASE_SCHEMA") or "public"
    if "$aoc" in schema:
        raise refused(
            f"{prefix}_DATABASE_SCHEMA has $aoc in it, by which our statements quote their blocks: they would "
            "break. Rename the schema."
        )
    return schema, environment.get(f"{prefix}_TABLE_OWNER") or None


def _read_url(variable: str, environment: Mapping[str, str]) -> str:
    url, file = environment.get(variable, "").strip(), environment.get(f"{variable}_FILE", "")
    if url and file:
        raise refused(f"{variable} and {variable}_FILE are both set; unset one of them.")
    if not file:
        return url
    try:
        url = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise refused(f"{variable}_FILE={file} cannot be read: {reason}. Mount the secret there.") from None
    if not url:
        raise refused(f"{variable}_FILE={file} is empty. Mount the secret there.")
    return url


def choose_targets(names: Sequence[str], environment: Mapping[str, str] = os.environ) -> list[Target]:
    """Return the named targets, or all configured ones. Raises Abort (exit 2) where there is none."""
    configured = read_targets(environment)
    for name in names:
        if name not in configured:
            raise refused(
                f"{name} is not configured: set {name.upper()}_DATABASE_URL=postgresql://user@host/database"
            )
    if not configured:
        raise refused(
            "No database is configured: set CONCELIER_DATABASE_URL or EXCITITOR_DATABASE_URL, for example "
            "CONCELIER_DATABASE_URL=postgresql://user@host/concelier"
        )
    return [configured[name] for name in names] if names else list(configured.values())


def read_flags(environment: Mapping[str, str] = os.environ) -> Flags:
    """Return the guide's flags. Raises Abort (exit 2) for a value that is neither true nor false."""
    return Flags(
        _read_boolean("AOC_GUARD_ENABLED", True, environment),
        _read_boolean("AOC_ALLOW_SUPERSEDES_RETROFIT", False, environment),
        environment.get("AOC_VERIFIER_USER") or "stella-aoc-verify",
        _read_boolean("AOC_METRICS_ENABLED", True, environment),
    )


def _read_boolean(variable: str, default: bool, environment: Mapping[str, str]) -> bool:
    value = environment.get(variable, "").strip().lower()
    if value not in ("", "true", "false"):
        raise refused(f"{variable} is neither true nor false. Write {variable}={str(default).lower()}")
    return default if not value else value == "true"
