"""Writes what a release leaves: a folder with files and their sums, and a tag."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from aoc_migrate.kit.checksums import write_sums
from scripts.releasing.running import run


def write(output: Path, files: Iterable[Path]) -> Path:
    """Put copies of the files, and their sums, into a new folder in place of an earlier one; return it."""
    unfinished = output.with_name(f".{output.name}-unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    names = [Path(shutil.copyfile(path, unfinished / path.name)).name for path in files]
    write_sums(unfinished, names)
    if output.exists():
        shutil.rmtree(output)
    return unfinished.rename(output)


def tag(root: Path, version: str, commit: str) -> None:
    """Make the annotated tag of a version. Raises Failed if git refuses."""
    run("git", "-C", root, "tag", "--annotate", f"v{version}", "--message", f"aoc-migrate {version}", commit)
