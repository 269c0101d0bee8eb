"""`aoc-migrate revision`: the file of a new revision, in a checkout."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Aoc, Database
from tests.test_approved_plan import make_plan


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


def test_a_new_revision_is_not_in_an_older_plan(checkout: Path, excititor: Database, aoc: Aoc) -> None:
    """A revision that came into the history after a plan was made does not run by that plan, and is named."""
    aoc.configure(excititor)
    file = make_plan(aoc, checkout)
    folder = checkout / "migrations" / "excititor"
    (third,), (fourth,) = folder.glob("excititor_0003_*.py"), folder.glob("excititor_0004_*.py")
    text = third.read_text(encoding="utf-8").replace("excititor_0003", "excititor_0033")
    (folder / "excititor_0033_own.py").write_text(text.replace("excititor_0002", "excititor_0003"))
    following = fourth.read_text(encoding="utf-8")
    fourth.write_text(following.replace('down_revision = "excititor_0003"', 'down_revision = "excititor_0033"'))

    ran = subprocess.run(
        [sys.executable, "-m", "aoc_migrate", "upgrade", "--plan", str(file), "--format", "json"],
        cwd=checkout,
        env=aoc.env(PYTHONPATH=str(checkout)),
        check=False,
        capture_output=True,
        text=True,
    )

    assert ran.returncode == 1, ran.stderr
    (found,) = json.loads(ran.stdout)["reports"][0]["findings"]
    assert found["slug"] == "plan-differs"
    assert "revision excititor_0033 (planned: absent, now: present)" in found["problem"]
    assert excititor.value("SELECT to_regclass('aoc_alembic_version')") is None
