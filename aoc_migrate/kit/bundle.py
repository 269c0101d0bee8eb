"""`bundle`: the part of the Offline Kit that installs this package at a site without a network.

Bundles are reproducible: nothing in them depends on the time or on the order of a directory.
"""

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aoc_migrate import __version__, packaged_folder
from aoc_migrate.database.limits import Limits
from aoc_migrate.database.targets import TARGETS
from aoc_migrate.errors import refused
from aoc_migrate.kit.checksums import SUMS, sha256, write_sums
from aoc_migrate.kit.readme import README
from aoc_migrate.kit.sbom import sbom
from aoc_migrate.kit.wheels import REQUIREMENTS, download, pinned
from aoc_migrate.psql.operators import operator_scripts
from aoc_migrate.psql.script import script
from aoc_migrate.psql.script_steps import downgrade_job, upgrade_job
from aoc_migrate.report.facts.bundled import BundleFacts
from aoc_migrate.report.model import Next, Report
from aoc_migrate.revisions.graph import contract_at, head

MANIFEST, SBOM = "manifest.json", "sbom.cdx.json"
SCHEMA = 1
_PURPOSES = {
    "sql": "psql script",
    "wheels": "Python package",
    "docs": "documentation",
    "reports": "verification report",
}
_MTIME = 315532800  # 1980-01-01, the earliest date in a zip file


@dataclass(frozen=True)
class Kit:
    """What goes into a bundle. ``platforms`` and ``python`` are pip's; without ``wheels`` it has no packages."""

    wheels: bool = True
    platforms: tuple[str, ...] = ()
    python: str | None = None
    wheel: Path | None = None
    reports: tuple[Path, ...] = ()
    sign_command: str | None = None


def write_bundle(folder: Path, kit: Kit, report: Report) -> None:
    """Write a bundle into ``folder``, which must be new or empty. A failure leaves nothing behind.

    Raises Abort: exit 2 for wrong usage, 3 if the package index does not answer, 4 if writing fails.
    """
    try:
        _refuse(folder, kit)
    except OSError as error:
        raise refused(f"{error.filename} cannot be read: {error.strerror}.") from None
    with _new(folder) as new:
        _fill(new, kit)
        _seal(new, kit)
        files = sorted(path for path in new.rglob("*") if path.is_file())
        wheels = sorted(path.name for path in files if path.suffix == ".whl")
        size = sum(path.stat().st_size for path in files)
        report.put(BundleFacts(len(files), size, tuple(wheels), sha256(new / SUMS)))
    report.changed = True
    report.next = Next(
        f"cd {shlex.quote(str(folder))} && sha256sum --check {SUMS}",
        note=f"Copy {folder} to the site and check it there; its README.md has the next steps.",
    )


def _refuse(folder: Path, kit: Kit) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise refused(f"{folder} already exists and is not an empty folder. Choose another one.")
    if folder.absolute() == Path.cwd():
        raise refused("A bundle cannot replace the current folder. Name a new one.")
    if not (os.environ.get("SOURCE_DATE_EPOCH") or "0").isdecimal():
        raise refused("SOURCE_DATE_EPOCH is not a number of seconds since 1970.")
    names = [path.name for path in kit.reports]
    if len(names) != len(set(names)):
        raise refused("Two reports have the same file name, and both go into one folder. Rename one.")
    for path in (*kit.reports, *([kit.wheel] if kit.wheel else [])):
        if not path.name.isprintable():  # a line break would end its line of the checksums
            raise refused(f"The file name {path.name!r} has a character that cannot be printed. Rename the file.")
        if not path.is_file():
            raise refused(f"{path} is not a file.")


@contextmanager
def _new(folder: Path) -> Iterator[Path]:
    """Make a folder next to ``folder`` that is renamed to it at the end, or removed after an error."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise refused(f"{folder} cannot be created: {error.strerror}. Choose another folder.") from None
    try:
        yield new
        for path in [*new.rglob("*"), new]:
            path.chmod(0o755 if path.is_dir() else 0o644)
            os.utime(path, (_mtime(), _mtime()))
        new.replace(folder)
    except OSError as error:
        raise refused(f"{folder} cannot be written: {error.strerror}.", 4) from None
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _mtime() -> int:
    return int(os.environ.get("SOURCE_DATE_EPOCH") or _MTIME)


def _fill(new: Path, kit: Kit) -> None:
    for name, text in {**operator_scripts(), **_scripts()}.items():
        _write(new / "sql" / name, text)
    for path in sorted(packaged_folder("docs").glob("*")):
        if path.suffix in (".md", ".json", ".svg"):
            _write(new / "docs" / path.name, path.read_text(encoding="utf-8"))
    for path in kit.reports:
        (new / "reports").mkdir(exist_ok=True)
        shutil.copyfile(path, new / "reports" / path.name)
    if kit.wheels:
        download(new / "wheels", kit.platforms, kit.python, kit.wheel)
    wheels = sorted((new / "wheels").glob("*.whl"))
    if wheels:
        _write(new / REQUIREMENTS, pinned(wheels))
    _write(new / SBOM, sbom(wheels))
    _write(new / "README.md", README.format(version=__version__))


def _scripts() -> dict[str, str]:
    scripts = {}
    for target in TARGETS:
        up, down = upgrade_job(target, None, head(target)), downgrade_job(target, head(target), None)
        scripts[f"{target}-upgrade.sql"] = script(up, Limits())
        scripts[f"{target}-downgrade.sql"] = script(down, Limits())
    return scripts


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _seal(new: Path, kit: Kit) -> None:
    """Write the manifest of all files and the checksums, and have the checksums signed."""
    files = sorted(path.relative_to(new).as_posix() for path in new.rglob("*") if path.is_file())
    manifest: dict[str, Any] = {
        "schema": SCHEMA,
        "package": {"name": "aoc-migrate", "version": __version__},
        "targets": {t: _target(t) for t in TARGETS},
        "python": {"version": kit.python, "platforms": list(kit.platforms)} if kit.wheels else None,
        "files": [
            {
                "path": name,
                "bytes": (new / name).stat().st_size,
                "sha256": sha256(new / name),
                "purpose": _PURPOSES.get(name.partition("/")[0], "about this bundle"),
            }
            for name in files
        ],
    }
    _write(new / MANIFEST, json.dumps(manifest, indent=2) + "\n")
    write_sums(new, [*files, MANIFEST])
    if kit.sign_command is not None:
        _sign(new, kit.sign_command)


def _target(name: str) -> dict[str, Any]:
    contract = contract_at(name, head(name))
    return {"head": head(name), "contract": contract.version, "quarantine": contract.quarantine}


def _sign(new: Path, command: str) -> None:
    try:
        program, *options = shlex.split(command) or [""]
        arguments = [str(Path(program).absolute()) if "/" in program else program, *options, SUMS]
        signer = subprocess.run(arguments, cwd=new, check=False, capture_output=True, text=True)
    except (OSError, ValueError) as error:
        name = command.split(maxsplit=1)[0] if command.strip() else "''"  # the options may hold a passphrase
        if "=" in name:  # and so may this
            raise refused(
                "Could not start the signer: --sign-command begins with an assignment, and no shell runs it. "
                "Export the variable first, or name a script that sets it."
            ) from None
        reason = error.strerror if isinstance(error, OSError) else "its quotes are unbalanced"
        raise refused(f"Could not start the signer {name}: {reason}.") from None
    if signer.returncode:
        last_line = (signer.stderr.strip().splitlines() or ["no error message"])[-1]
        raise refused(f"The signer failed with exit code {signer.returncode}: {last_line}")
    if not any(new.glob(f"{SUMS}.*")):
        raise refused(f"The signer wrote no {SUMS}.asc or {SUMS}.sig next to {SUMS}.")
