"""What a release froze is as it was released: contracts, revisions, and their SQL."""

import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.releasing.frozen import FOLDERS, changes, releases
from tests.conftest import ROOT

CONTRACT = "aoc_migrate/contract/v1.py"
REVISION = "migrations/concelier/concelier_0004_idempotency_index.py"
SQL = "tests/golden/concelier_0004.upgrade.sql"


def test_what_is_released_has_not_changed() -> None:
    """Every contract and revision, and the SQL of every revision, is as in each released version."""
    tags = releases(ROOT)
    if not tags:
        pytest.skip("this clone has no tag of a release; the next tests change files after one")

    assert [change for tag in tags for change in changes(ROOT, tag)] == []


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A repository with what is frozen, at a release."""
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for words in ("init -q", "add .", "commit -q -m x", "tag v0.1.0", "tag v0.1.0-beta", "tag later"):
        identity = ("-c", "user.name=x", "-c", "user.email=x", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", tmp_path, *identity, *words.split()], check=True)
    assert releases(tmp_path) == ["v0.1.0"]
    return tmp_path


@pytest.mark.parametrize(
    ("name", "before", "after", "instead"),
    [
        (CONTRACT, '"cvss"', '"cvssv4"', "contract/vN.py"),
        (REVISION, '"upstream_id", ', "", "a new revision"),
        (REVISION, '"""', '"""Another title: ', "a new revision"),
        (REVISION, "import", "import import", "a new revision"),
        (SQL, "\n", "\n\n", "leave the SQL"),
    ],
)
def test_a_changed_file_is_reported(name: str, before: str, after: str, instead: str, released: Path) -> None:
    """A changed value, title or statement is reported, with how to put it back and what to write instead."""
    path = released / name
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), encoding="utf-8")

    (sentence,) = changes(released, "v0.1.0")

    assert sentence.startswith(f"{name} has changed since v0.1.0. Type: git checkout v0.1.0 -- {name}. Then ")
    assert instead in sentence


@pytest.mark.parametrize("name", [CONTRACT, REVISION, SQL])
def test_a_file_that_is_gone_is_reported(name: str, released: Path) -> None:
    """What was released may not be deleted or renamed."""
    path = released / name
    path.rename(path.with_stem("renamed"))

    (sentence,) = changes(released, "v0.1.0")

    assert sentence.startswith(f"{name} is gone since v0.1.0. Type: git checkout v0.1.0 -- {name}. Then ")


def test_what_is_added_later_is_no_change(released: Path) -> None:
    """A new contract and a new revision with its SQL are free, and so are comments and line breaks in Python."""
    for name, new in ((CONTRACT, "v2"), (REVISION, "concelier_0009_x"), (SQL, "concelier_0009.upgrade")):
        shutil.copy(released / name, (released / name).with_stem(new))
    for name in (CONTRACT, REVISION):
        text = (released / name).read_text(encoding="utf-8")
        (released / name).write_text(f"{text}\n# A comment.\n", encoding="utf-8")

    assert changes(released, "v0.1.0") == []
