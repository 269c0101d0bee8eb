"""Variables that are not UTF-8 text are refused by name, before anything is done."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT, Aoc, Database

VARIABLES = [
    *("AOC_VERIFIER_USER", "AOC_IMAGE", "AOC_TICKET", "AOC_THROTTLE_QUERY", "AOC_LOG_FORMAT", "AOC_SANDBOX_DIR"),
    *("EXCITITOR_DATABASE_URL", "CONCELIER_DATABASE_SCHEMA", "EXCITITOR_TABLE_OWNER", "AOC_COPY_PASSWORD"),
    *("PGHOST", "PGUSER", "HOSTNAME"),
]


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_variable_that_is_not_utf8_is_refused(variable: str, excititor: Database, aoc: Aoc) -> None:
    """Each variable that we read is refused before anything is done, by its name and without its value."""
    aoc.configure(excititor)

    ran = aoc("upgrade", **{variable: "secret\udcff"})

    assert (ran.exit_code, ran.out) == (2, "")
    assert ran.err == f"aoc-migrate: {variable} is not UTF-8 text; write it in UTF-8.\n"
    assert excititor.value("SELECT to_regclass('aoc_alembic_version')") is None


def test_stock_alembic_refuses_such_a_variable(excititor: Database, aoc: Aoc) -> None:
    """Stock Alembic refuses it too, before it changes anything."""
    aoc.configure(excititor)
    words = [sys.executable, "-m", "alembic", "-n", "excititor", "upgrade", "head"]

    ran = subprocess.run(
        words, cwd=ROOT, env=aoc.env(AOC_IMAGE="secret\udcff"), check=False, capture_output=True, text=True
    )

    assert ran.returncode != 0
    assert "AOC_IMAGE is not UTF-8 text" in ran.stdout
    assert "secret" not in ran.stdout + ran.stderr
    assert excititor.value("SELECT to_regclass('aoc_alembic_version')") is None


def test_a_variable_of_others_may_be_anything(excititor: Database, aoc: Aoc) -> None:
    """A variable that we do not read, or that only libpq reads, is no business of ours."""
    aoc.configure(excititor)

    assert aoc("status", CONCELIER_LICENSE="\udcff", PGPASSFILE="/nowhere/\udcff").exit_code == 0
