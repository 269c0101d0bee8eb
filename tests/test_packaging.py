"""The wheel does all that the checkout does, and stock Alembic works with both."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from aoc_migrate import __version__
from tests.conftest import ROOT, Aoc, Database


def apart() -> dict[str, str]:
    """Return an environment that leads neither to this checkout nor to a database."""
    ours = ("AOC_", "PG", "CONCELIER", "EXCITITOR", "PYTHON")
    return {k: v for k, v in os.environ.items() if not k.startswith(ours)}


def run(*command: str | Path, cwd: Path | str = "/", **environment: str) -> str:
    """Run a command that must succeed, isolated from this checkout; return its stdout."""
    ran = subprocess.run(
        [str(word) for word in command],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=apart() | environment,
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
    """The wheel has every module, revision and page of docs, alembic.ini, and no test or cache."""
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    ours = ("--cached", "--others", "--exclude-standard", "aoc_migrate", "migrations", "alembic.ini", "docs")
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


@pytest.mark.alike
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
    ran = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/", env=apart())

    assert ran.returncode == 2
    assert "checkout" in ran.stderr


@pytest.fixture(params=["checkout", "installation"])
def alembic(request: pytest.FixtureRequest) -> Callable[..., str]:
    """Stock Alembic, in a checkout and with an installation, from the folder /, as docs/alembic.md says."""
    if request.param == "checkout":
        return partial(run, sys.executable, "-m", "alembic", cwd=ROOT)
    programs = request.getfixturevalue("installed_bin")
    typed = 'exec alembic -c "$(aoc-migrate config-path)" "$@"'
    return partial(run, "sh", "-c", typed, "sh", PATH=f"{programs}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.alike
def test_stock_alembic_goes_up_and_down(
    alembic: Callable[..., str], target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """Stock Alembic shows the history, goes up to head and down to base."""
    target = ("-n", target_with_chain.target)

    assert f"{target_with_chain.target}_0007" in alembic(*target, "history")
    alembic(*target, "upgrade", "head", **aoc.environment, **retrofit)
    assert "(head)" in alembic(*target, "current", **aoc.environment)
    assert aoc("verify").exit_code == 0
    alembic(*target, "downgrade", "base", **aoc.environment)
    assert aoc.json("status").report["revision"] is None


@pytest.mark.alike
@pytest.mark.parametrize("target", ["concelier", "excititor"])
def test_stock_alembic_prints_sql_without_a_database(target: str, alembic: Callable[..., str]) -> None:
    """Stock Alembic prints the SQL of the whole way up and down without any database."""
    up = alembic("-n", target, "upgrade", f"{target}@head", "--sql")
    down = alembic("-n", target, "downgrade", f"{target}@head:base", "--sql")

    assert "CREATE UNIQUE INDEX CONCURRENTLY" in up
    assert "DROP INDEX CONCURRENTLY" in down


def test_a_path_that_alembic_cannot_read_is_not_printed(tmp_path: Path) -> None:
    """Alembic takes a % in its configuration's path for a variable: such a path is refused."""
    copy = tmp_path / "100%"
    for name in ("aoc_migrate", "migrations"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "alembic.ini", copy)
    command = [sys.executable, "-m", "aoc_migrate", "config-path"]

    ran = subprocess.run(command, check=False, capture_output=True, text=True, cwd=copy)
    stock = [sys.executable, "-m", "alembic", "-n", "concelier", "history"]

    assert (ran.returncode, ran.stdout) == (2, "")
    assert f"Alembic cannot read {copy}/alembic.ini" in ran.stderr
    assert subprocess.run(stock, check=False, capture_output=True, cwd=copy).returncode != 0
