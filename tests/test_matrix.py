"""The servers and Pythons on which we run: what says so, and the scripts that try them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aoc_migrate.database.majors import OLDEST
from scripts.proofs.night import every_part
from tests.conftest import ROOT

SERVERS = ROOT / "scripts" / "postgres"


def ran(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a script of the checkout."""
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)


@pytest.mark.alike
@pytest.mark.parametrize("script", ["soak", "fuzz", "dumps", "coverage", "mutation"])
def test_a_script_makes_what_it_needs(script: str, tmp_path: Path) -> None:
    """In a fresh clone a script makes the virtual environment first, and ends with its exit code if that fails."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "scripts" / "environment").write_text("import sys; sys.exit(7)\n", encoding="utf-8")

    tried = ran(Path(sys.executable).resolve(), tmp_path / "scripts" / script, "--help")

    assert (tried.returncode, tried.stdout, tried.stderr) == (7, "", "")


def test_what_is_promised_is_what_is_tried() -> None:
    """README, rules and the preconditions of scripts name the majors that the scripts try, from the oldest on."""
    majors = [int(major) for major in ran(SERVERS).stdout.split()]
    texts = {path: (ROOT / path).read_text(encoding="utf-8") for path in ("README.md", "docs/rules.md")}

    assert majors == list(range(OLDEST, majors[-1] + 1))
    assert all(f"PostgreSQL {majors[0]} to {majors[-1]}" in text for text in texts.values())
    assert {f"postgres-{major}" for major in majors} <= {part.name for part in every_part()}


@pytest.mark.parametrize("word", ["x", "16.1", "", "16 17"])
def test_a_word_that_is_no_major_is_refused(word: str) -> None:
    """scripts/postgres refuses what is no major version in one sentence, and fetches nothing."""
    refused = ran(SERVERS, word)

    assert refused.returncode == 1
    assert re.fullmatch(
        r"scripts/postgres: '.*' is no major version of PostgreSQL; one of 15, .*\n", refused.stderr
    )


def test_the_parts_of_the_night_exist() -> None:
    """Every command of scripts/nightly is a script of this checkout."""
    named = [name for part in every_part() for name in re.findall(r"scripts/\w+", " ".join(part.command))]

    assert len(named) >= len(every_part())
    assert [name for name in named if not (ROOT / name).is_file()] == []
