"""What a release freezes: contracts, revisions, and the SQL of revisions."""

import ast
import io
import re
import subprocess
import tarfile
from pathlib import Path

from scripts.releasing.running import git

FOLDERS = ("aoc_migrate/contract", "migrations", "tests/golden")
INSTEAD = {
    r"aoc_migrate/contract/v\d+\.py": "write your rule into the next contract/vN.py (CONTRIBUTING.md, Add a rule)",
    r"migrations/(concelier|excititor)/\w+\.py": "write a new revision (CONTRIBUTING.md, Add a revision)",
    r"tests/golden/\w+_\d+\.(upgrade|downgrade)\.sql": (
        "leave the SQL of this revision as it was, and write a new revision (CONTRIBUTING.md, Add a revision)"
    ),
}
"""The files that are frozen, and what to do instead of changing them."""


def releases(root: Path) -> list[str]:
    """Return the tags of released versions."""
    tags = (git(root, "tag", "--list") or "").split()
    return [tag for tag in tags if re.fullmatch(r"v\d+\.\d+\.\d+", tag)]


def changes(root: Path, tag: str) -> list[str]:
    """Return a sentence for each frozen file of a tag that has changed since, or is gone.

    SQL is compared byte for byte. Python is compared as Python reads it: a comment or a line break may change, a
    docstring may not, because its title goes into the SQL and into reports.
    """
    found = []
    for name, before in _files(root, tag).items():
        instead = next((use for pattern, use in INSTEAD.items() if re.fullmatch(pattern, name)), None)
        now = (root / name).read_bytes() if (root / name).is_file() else None
        if instead and (now is None or not _same(name, before, now)):
            what = "is gone" if now is None else "has changed"
            found.append(f"{name} {what} since {tag}. Type: git checkout {tag} -- {name}. Then {instead}.")
    return found


def _files(root: Path, tag: str) -> dict[str, bytes]:
    archive = subprocess.run(["git", "-C", root, "archive", tag, *FOLDERS], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        return {member.name: files.extractfile(member).read() for member in files if member.isfile()}  # type: ignore[union-attr]


def _same(name: str, before: bytes, now: bytes) -> bool:
    if before == now or not name.endswith(".py"):
        return before == now
    try:
        return ast.dump(ast.parse(before)) == ast.dump(ast.parse(now))
    except SyntaxError:
        return False
