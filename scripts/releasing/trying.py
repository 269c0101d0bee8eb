"""Installs what was built as users do, and runs it from the folder /."""

import os
import sys
from pathlib import Path

from scripts.releasing.running import Failed, run

OFFLINE = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}


def try_wheel(wheel: Path, version: str, folder: Path) -> Path:
    """Install the wheel, with its dependencies from the index, and run it; return its folder of programs."""
    programs = _environment(folder)
    run(programs / "python", "-m", "pip", "install", "--quiet", wheel)
    _use(programs, version)
    return programs


def try_kit(programs: Path, wheel: Path, version: str, folder: Path) -> Path:
    """Make an Offline Kit, install from it alone, and run that; return the kit."""
    kit = folder / "kit"
    run(programs / "aoc-migrate", "bundle", kit, "--wheel", wheel)
    offline = _environment(folder / "offline")
    pinned = ("--require-hashes", "--no-index", "--find-links", "wheels", "--requirement", "requirements.txt")
    run(offline / "python", "-m", "pip", "install", "--quiet", *pinned, cwd=kit, more=OFFLINE)
    _use(offline, version)
    return kit


def _environment(folder: Path) -> Path:
    run(sys.executable, "-m", "venv", folder)
    return folder / "bin"


def _use(programs: Path, version: str) -> None:
    """Run what needs no database: version, help, a plan as SQL, and the revisions with stock Alembic."""
    command = programs / "aoc-migrate"
    _expect(f"version {version}\n", run(command, "--version"), f"{command} --version")
    _expect("Usage: aoc-migrate ", run(command, "--help"), f"{command} --help")
    for target in ("concelier", "excititor"):
        planned = run(command, "plan", target, "base:head", "--sql")
        _expect("CREATE UNIQUE INDEX CONCURRENTLY", planned, f"{command} plan {target} base:head --sql")
        ini = run(command, "config-path").removesuffix("\n")
        heads = run(programs / "alembic", "-c", ini, "-n", target, "heads")
        _expect(f"({target}) (head)", heads, f"alembic -c {ini} -n {target} heads")


def _expect(part: str, printed: str, command: str) -> None:
    if part not in printed:
        raise Failed(f"{command} does not print {part.strip()!r}, but:\n{printed[-2000:]}")
