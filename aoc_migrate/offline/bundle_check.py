"""`bundle --check`: is a bundle what it was when it was made?"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from aoc_migrate.offline.bundle import SUMS
from aoc_migrate.report.model import Finding, Report, make

_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def check_bundle(folder: Path, report: Report) -> None:
    """Add a finding for each file that is missing, changed or extra; the sums themselves want a signature."""
    report.findings += _judged(folder)
    report.facts["files"] = sum(path.is_file() for path in folder.rglob("*")) if folder.is_dir() else 0
    signatures = sorted(path.name for path in folder.glob(f"{SUMS}.*")) if folder.is_dir() else []
    report.facts["signatures"] = signatures
    if not report.errors:
        check = f"check the signature {signatures[0]} with its signer's tool" if signatures else ""
        report.next = check or "no signature came with it: compare sha256_of_sums with what its maker told you"
        report.facts["sha256_of_sums"] = _sha256(folder / SUMS)


def _judged(folder: Path) -> Iterator[Finding]:
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        yield make("bundle-broken", str(folder), reason=f"{SUMS}: {reason}")
        return
    listed = {}
    for number, line in enumerate(lines, 1):
        found = _LINE.fullmatch(line)
        if not found or not _inside(found[2]):
            yield make("bundle-broken", str(folder), reason=f"line {number} of {SUMS} names no file in it")
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
        yield make("bundle-changed", name, reason="it is not a regular file")
    elif not path.exists():
        yield make("bundle-missing", name)
    else:
        try:
            if _sha256(path) != digest:
                yield make("bundle-changed", name, reason="its bytes are not those that were written")
        except OSError as error:
            yield make("bundle-changed", name, reason=f"it cannot be read: {error.strerror}")


def _extra(folder: Path, listed: set[str]) -> Iterator[Finding]:
    parents = {str(parent) for name in listed for parent in PurePosixPath(name).parents}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        known = name in listed or name == SUMS or (name.startswith(f"{SUMS}.") and path.is_file())
        if not known and not (path.is_dir() and not path.is_symlink() and name in parents):
            yield make("bundle-extra", name)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
