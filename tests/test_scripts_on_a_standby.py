"""The psql scripts on a standby: what changes something is refused, what only reads works."""

import subprocess
from collections.abc import Iterator

import psycopg
import pytest

from aoc_migrate.sandbox.server import find_binaries
from tests.conftest import ROOT
from tests.faults.pair import Pair, pair
from tests.faults.scenarios import fill
from tests.servers import running_server


@pytest.fixture(scope="module")
def primary_and_standby() -> Iterator[Pair]:
    """A primary with excititor's database, and its standby."""
    with running_server() as primary, pair(primary) as servers:
        with psycopg.connect(primary.url("postgres"), autocommit=True) as admin:
            admin.execute("CREATE DATABASE excititor")
        with psycopg.connect(primary.url("excititor"), autocommit=True) as connection:
            connection.execute("SET synchronous_commit = 'remote_apply'")
            fill(connection, "vex_raw", 40)
            yield servers


def run(both: Pair, name: str) -> "subprocess.CompletedProcess[str]":
    """Run a script on the standby."""
    psql, script = str(find_binaries() / "psql"), str(ROOT / "scripts" / name)
    words = [psql, both.standby.url("excititor"), "-X", "-f", script]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)


def test_the_constraints_script_refuses_a_standby(primary_and_standby: Pair) -> None:
    """The constraints script says in one sentence that this is a standby."""
    ran = run(primary_and_standby, "apply-aoc-constraints.sql")

    assert ran.returncode == 3
    assert "this is a standby: run the script on the primary" in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_the_duplicate_audit_runs_on_a_standby(primary_and_standby: Pair) -> None:
    """The duplicate audit is a plain query, and runs on a standby."""
    ran = run(primary_and_standby, "check-vex-raw-duplicates.sql")

    assert (ran.returncode, ran.stdout) == (0, "vex_raw: no conflicts\n"), ran.stderr
