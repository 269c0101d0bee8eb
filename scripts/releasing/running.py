"""Runs the programs of a release: each must end well, or the release ends with what it printed."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

OURS = (
    "AOC_",
    "ALEMBIC_",
    "CONCELIER_",
    "EXCITITOR_",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_WORK_TREE",
    "PG",
    "PYTHON",
)
"""How the names of variables begin that could change what is tried."""


class Failed(Exception):  # noqa: N818  (it is a verdict, not a programming error)
    """Ends the release. It says what is wrong, and what to type."""


def run(
    *command: str | Path, cwd: Path | str = "/", more: Mapping[str, str] | None = None, umask: int = -1
) -> str:
    """Run a command without the variables of the caller that concern us; return its stdout.

    ``more`` adds variables. Raises Failed, with the end of what the command printed, if its exit code is not 0.
    """
    words = [str(word) for word in command]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    try:
        ran = subprocess.run(
            words, cwd=cwd, env=kept | dict(more or {}), umask=umask, check=False, capture_output=True, text=True
        )
    except OSError as error:
        raise Failed(f"{words[0]} cannot be started: {error.strerror}.") from None
    if ran.returncode:
        end = "\n".join((ran.stdout + ran.stderr).splitlines()[-20:])
        raise Failed(f"This command failed with exit code {ran.returncode}: {' '.join(words)}\n{end}")
    return ran.stdout


def git(root: Path, *words: str) -> str | None:
    """Return what a git command prints in the checkout, without the last line break; None if it fails."""
    ran = subprocess.run(["git", "-C", root, *words], check=False, capture_output=True, text=True)
    return None if ran.returncode else ran.stdout.removesuffix("\n")
