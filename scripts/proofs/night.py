"""The parts of scripts/nightly: each a command in a clone, with what its output says at the end."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from scripts.proofs.record import ROOT, commit, figures, record

OUTPUT = ROOT / "build" / "nightly"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
CLOSING = re.compile(r"^=* ?((?:\d+ [a-z]+(?:, )?)+) in [\d.]+s", re.M)  # pytest's last line


@dataclass(frozen=True)
class Part:
    """A command of the checkout; ``python``: the program that makes its virtual environment.

    ``tried``: what its tests prove to work, as docs/reliability.md calls it.
    """

    name: str
    command: tuple[str, ...]
    python: str = sys.executable
    tried: str | None = None


def every_part() -> list[Part]:
    """Return all parts, of those servers and Pythons that can be had here."""
    majors = subprocess.run(
        [ROOT / "scripts" / "postgres"], check=True, capture_output=True, text=True
    ).stdout.split()
    return [
        Part("lint", ("scripts/lint",)),
        *(Part(f"python-{v}", ("scripts/test",), p, f"Python {v}") for v, p in pythons().items()),
        *(Part(f"postgres-{m}", ("scripts/test", "--postgres", m), tried=f"PostgreSQL {m}") for m in majors),
        Part("site", ("scripts/docs", "--site")),
        Part("release", ("scripts/test", "tests/test_release.py", "tests/test_packaging.py", "tests/deploy")),
        Part("fuzz", ("scripts/fuzz", "--minutes", "60")),
        # scripts/mutation asks what scripts/coverage has noted.
        Part("mutation", ("sh", "-c", "scripts/coverage && scripts/mutation --all")),
        Part("soak", ("scripts/soak", "--minutes", "30")),
        Part("faults", ("scripts/soak", "--faults")),
    ]


def pythons() -> dict[str, str]:
    """Return the program of each supported Python in PATH; a version manager's shim may lead to none."""
    found: dict[str, str] = {}
    for version in PYTHONS:
        if shim := shutil.which(f"python{version}"):
            where = [shim, "-c", "import sys; print(sys.executable)"]
            ran = subprocess.run(where, check=False, capture_output=True, text=True)
            found |= {version: ran.stdout.strip()} if ran.returncode == 0 else {}
    return found


def run(parts: list[Part], *, write: bool) -> int:
    """Run the parts, and print a line for each; return 1 if one failed, or else 0."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    failed, tried = [], {}
    for part in parts:
        begun = time.monotonic()
        code, closing = _run(part)
        verdict = "passed" if code == 0 else f"FAILED, exit code {code}"
        print(f"{part.name:14} {verdict}, {time.monotonic() - begun:,.0f} s. {closing}", flush=True)
        failed += [part.name] if code else []
        if part.tried and not code:
            tried[part.tried] = f"{closing} (commit {commit()})"
    if failed:
        print(f"failed: {', '.join(failed)}; the output is in {OUTPUT}", file=sys.stderr)
    if write and tried:
        record("matrix", figures("matrix") | tried)  # a part that did not run now keeps its last figures
    return 1 if failed else 0


def _run(part: Part) -> tuple[int, str]:
    """Run a part in a clone of its own; return its exit code and pytest's last line."""
    log = OUTPUT / f"{part.name}.log"
    with tempfile.TemporaryDirectory(prefix="aoc-nightly-") as folder, log.open("w", encoding="utf-8") as file:
        clone = Path(folder) / "aoc-migrate"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        programs = f"{_named_python3(Path(folder), part.python)}{os.pathsep}{os.environ['PATH']}"
        environment = os.environ | {"PATH": programs, "AOC_TEST_EVERYTHING": "1"}
        if (ROOT / ".pg").is_dir():
            (clone / ".pg").symlink_to(ROOT / ".pg")
        ended = subprocess.run(part.command, cwd=clone, env=environment, stdout=file, stderr=file, check=False)
    lines = CLOSING.findall(log.read_text(encoding="utf-8", errors="replace"))
    return ended.returncode, lines[-1] if lines else ""


def _named_python3(folder: Path, program: str) -> Path:
    """Return a folder for PATH in which python3 is this program."""
    named = folder / "bin"
    named.mkdir()
    (named / "python3").symlink_to(program)
    return named
