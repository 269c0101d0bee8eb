"""The folder that `--evidence` names: a folder or a page for each run, and an overview of them."""

import html
import os
import re
from datetime import UTC, datetime
from pathlib import Path

from aoc_migrate.database.targets import TARGETS
from aoc_migrate.errors import refused
from aoc_migrate.report.index import OVERVIEW, Entry, overview_page
from aoc_migrate.report.page.header import KINDS

INDEX = "index.html"
MOST = 200  # runs that the overview lists
_RUN = re.compile(rf"({'|'.join(TARGETS)})-(\d{{4}}-\d\d-\d\dT\d\d-\d\d-\d\dZ(?:-\d+)?)(\.html)?")
_HEAD = 4096  # bytes of a page that have its title and its summary
_SUMMARY = re.compile(r'<meta name="description" content="(\w+): ([^"]*)">')


def evidence_folder(name: str) -> Path:
    """Return the folder of this name, made if it is missing. Raises Abort (exit 2) if it cannot be used."""
    if name in ("", "-"):
        raise refused(f"--evidence takes a folder, not {name!r}.")
    try:
        Path(name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(Path(name), error) from None
    return Path(name)


def new_run(parent: Path, target: str) -> Path:
    """Make a folder for a run, named after its target and the time in UTC. Raises Abort (exit 2) if that fails."""
    first = parent / f"{target}-{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}"
    folder, number = first, 1
    while not _made(folder):  # another run began in the same second
        number += 1
        folder = first.with_name(f"{first.name}-{number}")
    return folder


def _made(folder: Path) -> bool:
    """Make a folder, unless it, or the page of a run of this name, is there; return whether it was made."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    except OSError as error:
        raise _unwritable(folder.parent, error) from None
    if folder.with_name(f"{folder.name}.html").exists():
        folder.rmdir()
        return False
    return True


def _unwritable(folder: Path, error: OSError) -> Exception:
    return refused(f"--evidence {folder}: {error.strerror}. Choose a writable folder.")


def replace_text(path: Path, text: str) -> None:
    """Write a file so that whoever reads it finds all of the old text or all of the new one."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def list_runs(parent: Path) -> None:
    """Write the overview of the runs in a folder, unless its index.html is somebody else's.

    Other runs may end meanwhile: it is written again until it shows what is there.
    """
    index = parent / INDEX
    if index.exists() and f"<title>{OVERVIEW}</title>" not in _head(index):
        return
    written: tuple[list[Entry], int] | None = None
    while written != (found := _runs(parent)):
        replace_text(index, overview_page(*found))
        written = found


def _runs(parent: Path) -> tuple[list[Entry], int]:
    """Return the latest runs in a folder, the last one first, and how many more there are."""
    found = [(run, path) for path in parent.iterdir() if (run := _RUN.fullmatch(path.name))]
    found.sort(key=lambda item: (item[0][2], item[0][1]), reverse=True)
    found = [(run, path) for run, path in found if path.is_file() or path.is_dir()]
    return [_entry(run[1], run[2], path) for run, path in found[:MOST]], len(found[MOST:])


def _entry(target: str, time: str, path: Path) -> Entry:
    page = path / INDEX if path.is_dir() else path
    known = _SUMMARY.search(_head(page))
    word, said = (html.unescape(known[1]), html.unescape(known[2])) if known else ("UNFINISHED", "it has no index")
    link = f"{path.name}/{INDEX}" if path.is_dir() and known else f"{path.name}{'/' * path.is_dir()}"
    return Entry(target, time, KINDS.get(word, "warning"), word, said, [(link, "open")])


def _head(page: Path) -> str:
    """Return the beginning of a page, empty if it is no file or cannot be read."""
    try:
        if not page.is_file():
            return ""
        with page.open("rb") as file:
            return file.read(_HEAD).decode(errors="replace")
    except OSError:
        return ""
