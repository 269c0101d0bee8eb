"""The papers: what the license is, and what those of the dependencies are; hooks and workflow run what we run."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from aoc_migrate.cli import COMMANDS
from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LICENSES = {
    "alembic": "MIT",
    "click": "BSD-3-Clause",
    "jinja2": "BSD License",
    "mako": "MIT",
    "markdown-it-py": "MIT License",
    "markupsafe": "BSD-3-Clause",
    "mdurl": "MIT License",
    "prometheus-client": "Apache-2.0 AND BSD-2-Clause",
    "psycopg": "LGPL-3.0-only",
    "psycopg-binary": "LGPL-3.0-only",
    "pygments": "BSD-2-Clause",
    "rich": "MIT License",
    "sqlalchemy": "MIT",
    "typing-extensions": "PSF-2.0",
}
"""Every package that an installation brings, on any platform of these tests, with the license that it names."""


def runtime(name: str = "aoc-migrate", extras: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the packages that an installation of one brings: its requirements, and theirs."""
    for line in distribution(name).requires or ():
        requirement = Requirement(line)
        wanted = [{"extra": extra} for extra in (*extras, "")]
        if requirement.marker is None or any(map(requirement.marker.evaluate, wanted)):
            yield requirement.name.lower()
            yield from runtime(requirement.name, tuple(requirement.extras))


def license(name: str) -> str:
    """Return the license that a package's metadata names: as an expression, or in the words of its classifiers."""
    metadata = distribution(name).metadata
    classified = [line.split(" :: ")[-1] for line in metadata.get_all("Classifier", []) if "License ::" in line]
    return ", ".join(metadata.get_all("License-Expression") or classified or metadata.get_all("License", []))


def test_the_licenses_of_all_runtime_dependencies_are_known() -> None:
    """An installation brings these packages, each under a license that an Apache-2.0 program may depend on."""
    assert {name: license(name) for name in sorted(set(runtime()))} == LICENSES


def test_the_package_has_the_license_of_its_text() -> None:
    """LICENSE is the text of the Apache License 2.0, and the package says so."""
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")

    assert text.split()[:6] == ["Apache", "License", "Version", "2.0,", "January", "2004"]
    assert text.count("\n") == 202
    assert PROJECT["license"] == "Apache-2.0"
    assert PROJECT["license-files"] == ["LICENSE"]


def test_the_workflow_runs_what_ci_runs() -> None:
    """The workflow's one command is .ci/run, and its tags are there: released files are compared with them."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    checkout, run = workflow["jobs"]["ci"]["steps"]

    assert checkout["with"]["fetch-depth"] == 0
    assert run == {"run": ".ci/run"}
    assert workflow["permissions"] == {"contents": "read"}


def test_each_hook_is_a_part_of_lint() -> None:
    """At a push the hooks run scripts/lint; what they run at a commit, scripts/lint runs too."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    lint = (ROOT / "scripts" / "lint").read_text(encoding="utf-8")

    assert [hook["entry"] for hook in hooks if "pre-push" in hook.get("stages", [])] == ["scripts/lint"]
    at_commit = [hook for hook in hooks if "stages" not in hook]
    assert at_commit
    for hook in at_commit:
        assert f"\n{hook['name']} " in lint
        assert hook["entry"].startswith(f".venv/bin/{hook['name']} ")


def test_a_commit_that_lint_would_refuse_is_refused(tmp_path: Path) -> None:
    """With the hooks installed, git takes no commit with an unused import, and takes it without."""
    program = Path(sys.prefix) / "bin" / "pre-commit"
    if not program.exists():
        pytest.skip("no pre-commit: scripts/environment lint test")
    clone = tmp_path / "clone"
    environment = os.environ | {"PRE_COMMIT_HOME": str(tmp_path / "cache"), "GIT_CONFIG_GLOBAL": os.devnull}

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        author = ("-c", "user.name=A Committer", "-c", "user.email=committer@example.org")
        command = ["git", *author, *words]
        return subprocess.run(
            command,
            cwd=clone if clone.exists() else ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    assert git("clone", "--quiet", str(ROOT), str(clone)).returncode == 0
    (clone / ".venv").symlink_to(sys.prefix)
    subprocess.run([program, "install"], cwd=clone, env=environment, check=True, capture_output=True)
    added = clone / "aoc_migrate" / "added.py"

    added.write_text('"""Nothing."""\n\nimport os\n', encoding="utf-8")
    git("add", str(added))
    refused = git("commit", "--message", "unused")
    added.write_text('"""Nothing."""\n', encoding="utf-8")
    git("add", str(added))
    taken = git("commit", "--message", "clean")

    assert refused.returncode != 0
    assert "F401" in refused.stdout + refused.stderr
    assert taken.returncode == 0, taken.stdout + taken.stderr


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.stem
)
def test_a_template_asks_only_for_what_exists(path: Path) -> None:
    """Every command in an issue template exists, and every file that it names."""
    text = path.read_text(encoding="utf-8")
    words = re.findall(r"aoc-migrate ([a-z-]+)", text)

    assert yaml.safe_load(text)
    assert [word for word in words if word not in COMMANDS] == []
    assert [name for name in re.findall(r"[\w/]+\.md", text) if not (ROOT / name).exists()] == []
