"""The wheel does all that the checkout does, and stock Alembic works from a checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from aoc_migrate import __version__
from tests.conftest import ROOT, Aoc, Database


def run(*command: str | Path, cwd: Path | str = "/", **environment: str) -> str:
    """Run a command that must succeed, isolated from this checkout; return its stdout."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("AOC_", "PG", "CONCELIER", "EXCITITOR", "PYTHON"))
    }
    ran = subprocess.run(
        [str(word) for word in command],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=kept | environment,
    )
    assert ran.returncode == 0, ran.stderr + ran.stdout
    return ran.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = ("wheel", "--quiet", "--no-build-isolation", "--no-deps", "--wheel-dir", folder, ROOT)
    run(sys.executable, "-m", "pip", *build)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def installed_bin(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a fresh environment with the wheel in it, and what the wheel says it needs."""
    folder = tmp_path_factory.mktemp("fresh") / "with a space"
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", wheel)
    return folder / "bin"


def test_the_wheel_holds_what_it_needs_and_nothing_else(wheel: Path) -> None:
    """The wheel has every module, revision and page of docs, and no test or cache."""
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    ours = ("--cached", "--others", "--exclude-standard", "aoc_migrate", "migrations", "docs")
    listed = run("git", "ls-files", *ours, cwd=ROOT).split()

    assert names == {name if name.startswith("aoc_migrate/") else f"aoc_migrate/{name}" for name in listed}
    assert "aoc_migrate/migrations/concelier/concelier_0001_baseline.py" in names


def test_the_installed_command_has_help_and_version(installed_bin: Path) -> None:
    """The installed command has its help and its version, also as a module."""
    assert run(installed_bin / "aoc-migrate", "--help").startswith("Usage: aoc-migrate ")
    assert run(installed_bin / "aoc-migrate", "--version") == f"aoc-migrate, version {__version__}\n"
    assert (
        run(installed_bin / "python", "-m", "aoc_migrate", "--version") == f"aoc-migrate, version {__version__}\n"
    )


def test_the_wheel_alone_goes_up_and_down(
    installed_bin: Path, target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """Installed from the wheel alone, it upgrades, verifies and downgrades from the folder /."""
    program, environment = installed_bin / "aoc-migrate", aoc.environment | retrofit

    assert "changed" in run(program, "upgrade", **environment)
    assert "PASSED verify" in run(program, "verify", **aoc.environment)
    assert "changed" in run(program, "downgrade", "base", **environment)


def test_no_revision_is_written_into_an_installation(installed_bin: Path) -> None:
    """`revision` is for a checkout; an installation says so and stays as it is."""
    command = [str(installed_bin / "aoc-migrate"), "revision", "concelier", "-m", "nothing"]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/")

    assert ran.returncode == 2
    assert "checkout" in ran.stderr


def alembic(*words: str, **environment: str) -> str:
    """Run stock Alembic in the checkout."""
    return run(sys.executable, "-m", "alembic", *words, cwd=ROOT, **environment)


def test_stock_alembic_goes_up_and_down_from_a_checkout(
    target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """Stock Alembic from a checkout shows the history, goes up to head and down to base."""
    target = ("-n", target_with_chain.target)

    assert f"{target_with_chain.target}_0007" in alembic(*target, "history")
    alembic(*target, "upgrade", "head", **aoc.environment, **retrofit)
    assert "(head)" in alembic(*target, "current", **aoc.environment)
    assert aoc("verify").exit_code == 0
    alembic(*target, "downgrade", "base", **aoc.environment)
    assert aoc.json("status").report["revision"] is None


@pytest.mark.parametrize("target", ["concelier", "excititor"])
def test_stock_alembic_prints_sql_without_a_database(target: str) -> None:
    """Stock Alembic prints the SQL of the whole way up and down without any database."""
    up = alembic("-n", target, "upgrade", f"{target}@head", "--sql")
    down = alembic("-n", target, "downgrade", f"{target}@head:base", "--sql")

    assert "CREATE UNIQUE INDEX CONCURRENTLY" in up
    assert "DROP INDEX CONCURRENTLY" in down
