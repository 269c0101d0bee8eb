"""`bundle --check`: is a bundle what it was when it was made?"""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from aoc_migrate.kit.checksums import SUMS, sha256
from aoc_migrate.report.facts.bundled import BundleCheckFacts
from aoc_migrate.report.model import Finding, Next, Report, finding

_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def check_bundle(folder: Path, report: Report) -> None:
    """Add a finding for each file that is missing, changed or extra; the sums themselves want a signature."""
    report.findings += _judged(folder)
    files = sum(path.is_file() for path in folder.rglob("*")) if folder.is_dir() else 0
    signatures = sorted(path.name for path in folder.glob(f"{SUMS}.*")) if folder.is_dir() else []
    if not report.errors:
        check = f"check the signature {signatures[0]} with its signer's tool" if signatures else ""
        check = check or "no signature came with it: compare sha256_of_sums with what its maker told you"
        report.next = Next(note=check)
    sums = None if report.errors else sha256(folder / SUMS)
    report.put(BundleCheckFacts(files, tuple(signatures), sums))


def _judged(folder: Path) -> Iterator[Finding]:
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        yield finding("bundle-broken", str(folder), reason=f"{SUMS}: {reason}")
        return
    listed = {}
    for number, line in enumerate(lines, 1):
        found = _LINE.fullmatch(line)
        if not found or not _inside(found[2]):
            yield finding("bundle-broken", str(folder), reason=f"line {number} of {SUMS} names no file in it")
            return
        listed[found[2]] = found[1]
    for name, digest in listed.items():
        yield from _file(folder / name, name, digest)
    yield from _extra(folder, set(listed))


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and str(path) == name


def _file(path: Path, name: str, digest: str) -> Iterator[Finding]:
    if path.is_symlink() or (path.exists() and not path.is_file()):
        yield finding("bundle-changed", name, reason="it is not a regular file")
    elif not path.exists():
        yield finding("bundle-missing", name)
    else:
        try:
            if sha256(path) != digest:
                yield finding("bundle-changed", name, reason="its bytes are not those that were written")
        except OSError as error:
            yield finding("bundle-changed", name, reason=f"it cannot be read: {error.strerror}")


def _extra(folder: Path, listed: set[str]) -> Iterator[Finding]:
    """Yield what no sum names; a folder is told once, with how many files are in it."""
    parents = {str(parent) for name in listed for parent in PurePosixPath(name).parents}
    for at, folders, files in os.walk(folder):
        paths = [Path(at, name) for name in sorted([*folders, *files])]
        folders[:] = sorted(name for name in folders if _name(folder, Path(at, name)) in parents)
        for path in paths:
            name = _name(folder, path)
            known = name in listed or name == SUMS or (name.startswith(f"{SUMS}.") and path.is_file())
            if path.is_symlink() or not path.is_dir():
                if not known:
                    yield finding("bundle-extra", name, more="")
            elif name not in parents:
                count = sum(not inside.is_dir() for inside in path.rglob("*"))
                yield finding("bundle-extra", name, count=count, more=f" (files in it: {count:,})")


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()
