"""What must be true before anything is built. Each sentence says what is wrong, and what to type."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from importlib.util import find_spec
from pathlib import Path

from aoc_migrate.kit.checksums import SUMS
from scripts.releasing import frozen
from scripts.releasing.running import git

NUMBER = r"(\d+\.\d+\.\d+)\b"
MENTION = re.compile(rf"(?m)(?:aoc[-_]migrate\W{{1,4}}|VERSION[=:] ?|^\s*(?:version|appVersion): ){NUMBER}")
MENTIONING = ("README.md", "deploy/*", "deploy/**/*", "docs/*.md", "scripts/*.sql")


def problems(root: Path, version: str, output: Path | None, *, tag: bool) -> Iterator[str]:
    """Yield what is in the way of this version. Without ``tag``, git need not know who you are."""
    yield from _checkout(root, version, tag=tag)
    yield from _changelog((root / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    yield from _versions(root, version)
    if not (root / "tests" / "dumps" / version).is_dir():
        yield f"tests/dumps/{version} is missing; later versions need it. Type: scripts/dumps, and commit it"
    for released in frozen.releases(root):
        yield from frozen.changes(root, released)
    missing = [module for module in ("build", "hatchling", "twine") if not find_spec(module)]
    if missing:
        yield f"This Python has no {' and no '.join(missing)}. Type: pip install --editable '.[release]'"
    if output and output.exists() and not _is_ours(output):
        yield f"{output} has other files than those of a release. Name another folder: --output FOLDER"


def _checkout(root: Path, version: str, *, tag: bool) -> Iterator[str]:
    changed = (git(root, "status", "--porcelain") or "").splitlines()
    if changed:
        names = ", ".join(line[3:] for line in changed[:3]) + (", …" if len(changed) > 3 else "")
        yield f"Not committed: {names}. Commit that, or type: git stash --include-untracked"
    branch = git(root, "symbolic-ref", "--short", "HEAD")
    if branch != "main":
        yield f"A version is released from main, and this is {branch or 'no branch'}. Type: git switch main"
    name = f"v{version}"
    if git(root, "rev-parse", "--verify", f"refs/tags/{name}") is not None:
        yield f"The tag {name} exists. Choose the next version; if nobody has it yet: git tag --delete {name}"
    if tag and git(root, "var", "GIT_COMMITTER_IDENT") is None:
        yield "git does not know who makes the tag. Type: git config user.name NAME; git config user.email ADDRESS"


def _changelog(text: str, version: str) -> Iterator[str]:
    sections: dict[str, str] = dict(re.findall(r"(?ms)^## (.+?)$(.*?)(?=^## |\Z)", text))
    heading = f"## [{version}] - {datetime.now(UTC).date()}"
    unreleased = sections.get("[Unreleased]")
    if unreleased is None:
        yield "CHANGELOG.md has no section for the next changes. Write the line: ## [Unreleased]"
    elif unreleased.strip():
        yield f"CHANGELOG.md has changes under [Unreleased]. Write above them: {heading}"
    found = [title for title in sections if title.startswith(f"[{version}]")]
    if not found and not (unreleased or "").strip():
        yield f"CHANGELOG.md has no section for {version}. Write below [Unreleased]: {heading}"
    for title in found:
        if not _dated(title, version):
            yield f"CHANGELOG.md: the heading “{title}” has no date. Write: {heading}"
        if not sections[title].strip():
            yield f"CHANGELOG.md says nothing about {version}. Write what has changed, for users"


def _dated(title: str, version: str) -> bool:
    try:
        return bool(date.fromisoformat(title.removeprefix(f"[{version}] - ")))
    except ValueError:
        return False


def _versions(root: Path, version: str) -> Iterator[str]:
    package, chart = root / "aoc_migrate" / "__init__.py", root / "deploy" / "helm" / "aoc-migrate" / "Chart.yaml"
    for path, names in ((package, ("__version__ =",)), (chart, ("version:", "appVersion:"))):
        text = path.read_text(encoding="utf-8")
        for name in names:
            if not re.search(rf'(?m)^{name} "?{re.escape(version)}"?$', text):
                yield f'{path.relative_to(root)} is of another version. Write: {name} "{version}"'
    files = {path for pattern in MENTIONING for path in root.glob(pattern) if path.is_file()} - {chart}
    for path in sorted(files):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            others = {mentioned for mentioned in MENTION.findall(line) if mentioned != version}
            for other in sorted(others):
                yield f"{path.relative_to(root)}:{number} names version {other}. Write: {version}"


def _is_ours(folder: Path) -> bool:
    return folder.is_dir() and ((folder / SUMS).is_file() or not any(folder.iterdir()))
