"""`aoc-migrate revision`: the file of a new revision, in a checkout."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Aoc


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the checkout, as far as revisions need it."""
    for name in ("aoc_migrate", "migrations"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "alembic.ini", tmp_path)
    return tmp_path


@pytest.mark.parametrize(("target", "number"), [("concelier", 9), ("excititor", 8)])
def test_a_new_revision_follows_the_head(target: str, number: int, checkout: Path, aoc: Aoc) -> None:
    """The file has the next id, follows the head, asks its author's questions, and Alembic lists it as head."""

    def run(*words: str) -> str:
        command = [sys.executable, "-m", *words]
        env = aoc.env(PYTHONPATH=str(checkout))
        return subprocess.run(command, cwd=checkout, env=env, check=True, capture_output=True, text=True).stdout

    written = run("aoc_migrate", "revision", target, "-m", "Guard the identifiers column").strip()
    text = Path(written).read_text(encoding="utf-8")

    assert written == str(
        checkout / "migrations" / target / f"{target}_{number:04d}_guard_the_identifiers_column.py"
    )
    assert f'down_revision = "{target}_{number - 1:04d}"' in text.replace("'", '"')
    for question in ("Why:", "Locks:", "If it fails:", "Reversible:"):
        assert question in text
    assert f"{target}_{number:04d} ({target}) (head)" in run("alembic", "-n", target, "heads")


@pytest.mark.parametrize("title", ["", "!", 'a"""', "a\\", "a\nb"])
def test_a_title_that_is_no_docstring_is_refused(title: str, aoc: Aoc) -> None:
    """A title that Python could not read in a docstring, or that says nothing, writes no file."""
    before = sorted((ROOT / "migrations").rglob("*.py"))

    assert aoc("revision", "concelier", "-m", title).exit_code == 2

    assert sorted((ROOT / "migrations").rglob("*.py")) == before
