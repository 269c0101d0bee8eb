"""Builds sdist and wheel twice, under conditions that must not matter, and compares every byte."""

import hashlib
import sys
import tarfile
import zipfile
from pathlib import Path

from scripts.releasing.running import Failed, run


def build(root: Path, commit: str, epoch: str, folder: Path) -> tuple[Path, list[Path]]:
    """Return a clean checkout of the commit, and the wheel and sdist that are built from it.

    The second time, the folder, umask, time zone and hash seed differ, and the wheel is built from the sdist.
    Raises Failed if a file differs.
    """
    tree = folder / "checkout"
    built = _built(root, commit, tree, 0o022, {"TZ": "UTC", "PYTHONHASHSEED": "0"}, epoch, "--sdist", "--wheel")
    elsewhere = folder / "another folder" / "checkout of the same commit"
    again = _built(root, commit, elsewhere, 0o077, {"TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "1"}, epoch)
    for one, other in zip(built, again, strict=True):
        if one.read_bytes() != other.read_bytes():
            raise Failed(_difference(one, other))
    run(sys.executable, "-m", "twine", "--no-color", "check", "--strict", *built)
    return tree, built


def _built(
    root: Path, commit: str, tree: Path, umask: int, conditions: dict[str, str], epoch: str, *what: str
) -> list[Path]:
    """Build in a clean checkout; without ``what``, the sdist, and from that the wheel."""
    tree.parent.mkdir(parents=True, exist_ok=True)
    run("git", "clone", "--quiet", "--no-checkout", root, tree, umask=umask)
    run("git", "-C", tree, "checkout", "--quiet", "--detach", commit, umask=umask)
    output = tree.with_name("built")
    words = ("-m", "build", "--no-isolation", "--outdir", str(output), *what, str(tree))
    run(sys.executable, *words, more=conditions | {"SOURCE_DATE_EPOCH": epoch}, umask=umask)
    return sorted(output.iterdir())


def _difference(one: Path, other: Path) -> str:
    before, after = _members(one), _members(other)
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    where = f"in {', '.join(names)}" if names else "only in the times, modes or order of its members"
    return (
        f"{one.name} differs {where} if it is built again: in another folder, with another umask, time zone and "
        "hash seed, and the wheel from the sdist. Find out which of them matters, and remove what depends on it."
    )


def _members(path: Path) -> dict[str, str]:
    """Return the digest of each member of a wheel or sdist."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as wheel:
            contents = {name: wheel.read(name) for name in wheel.namelist()}
    else:
        with tarfile.open(path) as sdist:
            contents = {m.name: sdist.extractfile(m).read() for m in sdist if m.isfile()}  # type: ignore[union-attr]
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
