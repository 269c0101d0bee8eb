"""scripts/release: what it refuses, and a dry run of the whole of it, on a clean copy of this checkout."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from aoc_migrate import __version__
from scripts.releasing.building import build
from scripts.releasing.running import Failed
from scripts.releasing.writing import tag, write
from tests.conftest import ROOT

pytest.importorskip("twine", reason="pip install --editable '.[release]'")
SECTION = f"## [Unreleased]\n\n## [{__version__}] - 2026-01-31\n"


def git(folder: Path, *words: str) -> str:
    """Run git, and return what it prints."""
    ours = ("-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false")
    command = ["git", "-C", str(folder), *ours, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def committed(folder: Path) -> str:
    """Put everything into the folder's repository, in one commit on main; return that commit."""
    git(folder, "init", "--quiet", "--initial-branch", "main")
    for name in ("name", "email"):
        git(folder, "config", f"user.{name}", "releaser")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "All of it")
    return git(folder, "rev-parse", "HEAD").strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """This checkout, committed as it is, with a section of the changelog for its version."""
    copy = tmp_path / "a checkout"
    for name in git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        if name and (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    dumps = copy / "tests" / "dumps" / __version__
    dumps.mkdir(parents=True, exist_ok=True)
    (dumps / "README").touch()
    changelog = copy / "CHANGELOG.md"
    text = re.sub(rf"(?m)^## \[{re.escape(__version__)}\].*\n", "", changelog.read_text(encoding="utf-8"))
    changelog.write_text(text.replace("## [Unreleased]\n", SECTION), encoding="utf-8")
    committed(copy)
    return copy


def release(checkout: Path, *words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the checkout's script."""
    command = [sys.executable, str(checkout / "scripts" / "release"), *map(str, words)]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ | environment)


@pytest.mark.nightly
def test_a_dry_run_leaves_the_files_of_a_release_and_no_tag(checkout: Path, tmp_path: Path) -> None:
    """A dry run builds, compares and tries everything, writes the files with their sums, and changes no more."""
    output = tmp_path / "files"

    ran = release(checkout, __version__, "--dry-run", "--output", output)

    if "There is no helm" in ran.stderr:
        pytest.skip(ran.stderr)
    assert ran.returncode == 0, ran.stderr
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in output.iterdir()}
    written = (output / "SHA256SUMS").read_text(encoding="utf-8")
    assert written == ran.stdout == "".join(f"{sums[n]}  {n}\n" for n in sorted(sums) if n != "SHA256SUMS")
    assert {name.replace(__version__, "VERSION") for name in sums} == {
        "aoc_migrate-VERSION-py3-none-any.whl",
        "aoc_migrate-VERSION.tar.gz",
        "aoc-migrate-VERSION.tgz",
        "aoc_migrate-VERSION.cdx.json",
        "SHA256SUMS",
    }
    with tarfile.open(output / f"aoc_migrate-{__version__}.tar.gz") as sdist:
        tops = {name.split("/")[1] for name in sdist.getnames()}
    assert {"aoc_migrate", "migrations", "docs", "alembic.ini", "CHANGELOG.md"} <= tops
    assert not tops & {"deploy", "scripts", "tests"}
    assert git(checkout, "tag") == git(checkout, "status", "--porcelain") == ""
    assert not (checkout / "dist").exists()


def test_all_that_is_in_the_way_is_reported_together(checkout: Path, tmp_path: Path) -> None:
    """Before anything is built, each obstacle is reported with what to type, and nothing is written."""
    git(checkout, "tag", "v0.0.1")
    git(checkout, "tag", "v9.8.7")
    git(checkout, "switch", "--quiet", "--create", "feature")
    (checkout / "CHANGELOG.md").write_text(
        "## [Unreleased]\n\n- A change.\n\n## [9.8.7] - soon\n", encoding="utf-8"
    )
    (checkout / "tests/golden/concelier_0001.upgrade.sql").write_text("", encoding="utf-8")
    (output := tmp_path / "output").mkdir()
    (output / "mine").touch()

    ran = release(checkout, "9.8.7", "--dry-run", "--output", output)

    assert (ran.returncode, ran.stdout, [path.name for path in output.iterdir()]) == (1, "", ["mine"])
    for sentence in (
        "Not committed: CHANGELOG.md, tests/golden/concelier_0001.upgrade.sql. Commit that, or type: git stash",
        "A version is released from main, and this is feature. Type: git switch main",
        "The tag v9.8.7 exists.",
        "CHANGELOG.md has changes under [Unreleased]. Write above them: ## [9.8.7] - ",
        "the heading “[9.8.7] - soon” has no date.",
        "CHANGELOG.md says nothing about 9.8.7.",
        'aoc_migrate/__init__.py is of another version. Write: __version__ = "9.8.7"',
        'deploy/helm/aoc-migrate/Chart.yaml is of another version. Write: appVersion: "9.8.7"',
        "tests/golden/concelier_0001.upgrade.sql has changed since v0.0.1.",
        "tests/dumps/9.8.7 is missing; later versions need it. Type: scripts/dumps",
        f"{output} has other files than those of a release.",
        "in the way; nothing was built",
    ):
        assert sentence in ran.stderr
    for page in ("deploy/compose.yaml", "deploy/helm/aoc-migrate/README.md", "docs/deploy.md", "docs/cli.md"):
        assert re.search(
            rf"(?m)^- {page}:\d+ names version {re.escape(__version__)}\. Write: 9\.8\.7$", ran.stderr
        )


@pytest.mark.parametrize("version", ["v0.1.0", "0.1", "0.1.0rc1", "01.1.0", ""])
def test_what_is_no_version_is_wrong_usage(version: str) -> None:
    """A version is three numbers."""
    ran = release(ROOT, version, "--dry-run")

    assert (ran.returncode, ran.stdout) == (2, "")
    assert "is not three numbers, such as 0.1.0" in ran.stderr


PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "small"
version = "1"
description = "A project of one file"
readme = "README.md"
requires-python = ">=3"
[tool.hatch.build.targets.wheel]
include = ["small.py"]
artifacts = ["zone.txt"]
[tool.hatch.build.targets.wheel.hooks.custom]
"""
HOOK = """
import os
from pathlib import Path
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
class Hook(BuildHookInterface):
    def initialize(self, version, build_data):
        Path(self.root, "zone.txt").write_text(os.environ["TZ"])
"""


def test_what_depends_on_the_builder_is_not_released(tmp_path: Path) -> None:
    """A wheel that differs when it is built under other conditions is refused, with the names of what differs."""
    project = tmp_path / "project"
    project.mkdir()
    for name, text in (
        ("pyproject.toml", PROJECT),
        ("hatch_build.py", HOOK),
        ("small.py", ""),
        ("README.md", "Small."),
    ):
        (project / name).write_text(text, encoding="utf-8")
    commit = committed(project)

    with pytest.raises(
        Failed, match=r"small-1-py3-none-any\.whl differs in small-1.dist-info/RECORD, zone\.txt if "
    ):
        build(project, commit, "1700000000", tmp_path / "work")


def test_an_interrupted_release_is_replaced(tmp_path: Path) -> None:
    """What an earlier release left, whole or interrupted, does not get into the next one."""
    (tmp_path / "wheel").write_text("new", encoding="utf-8")
    for earlier in ("dist", ".dist-unfinished"):
        (tmp_path / earlier).mkdir()
        (tmp_path / earlier / "old").touch()

    write(tmp_path / "dist", [tmp_path / "wheel"])

    assert sorted(path.name for path in tmp_path.iterdir()) == ["dist", "wheel"]
    assert sorted(path.name for path in (tmp_path / "dist").iterdir()) == ["SHA256SUMS", "wheel"]


def test_the_tag_names_the_commit_that_was_built(tmp_path: Path) -> None:
    """The tag is annotated, and names the commit that was built, even if main has moved on."""
    (tmp_path / "file").touch()
    commit = committed(tmp_path)
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "Later")

    tag(tmp_path, "1.2.3", commit)

    assert git(tmp_path, "cat-file", "-t", "v1.2.3") == "tag\n"
    assert git(tmp_path, "rev-parse", "v1.2.3^{commit}").strip() == commit
    with pytest.raises(Failed, match="already exists"):
        tag(tmp_path, "1.2.3", commit)
