"""The backfill of a table three times as large as memory: in the order of pages compared with the order of keys.

The server and the file cache that it fills get a limit: a control group of Linux (cgroup v1 or v2), which only
root may make. Before each run the server restarts, and its files leave the cache. Sizes are in proportion to a
table of 10^8 rows (90 GB with its indexes) on a server with 30 GB of memory, 5 GB of shared_buffers and 15 GB of
max_wal_size.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from aoc_migrate.sandbox.state import load_state
from scripts.benchmarks.backfill import Outcome, ours, run
from scripts.benchmarks.lab import SETTINGS, TABLE, Lab, value
from scripts.benchmarks.results import Ratio, say

GROUPS = Path("/sys/fs/cgroup")
LEAST = 300_000_000  # bytes, which the sorts of two sessions and the server's own memory need
READ = f"""SELECT heap_blks_read + idx_blks_read FROM pg_statio_user_tables WHERE relname = '{TABLE}'"""


@dataclass(frozen=True)
class Group:
    """A control group, and the file that holds its limit."""

    folder: Path
    limit: str

    @contextmanager
    def limited(self, size: int) -> Iterator[None]:
        """Make the group, limited to ``size`` bytes; remove it at the end, and the limit with it."""
        self.folder.mkdir()
        try:
            (self.folder / self.limit).write_text(str(size), encoding="ascii")
            yield
        finally:
            _move(_read(self.folder / "cgroup.procs").split(), self.folder.parent)
            self.folder.rmdir()

    def take(self, postmaster: int) -> None:
        """Move a server into the group: what it starts later is in it too."""
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text(encoding="ascii").split()
        _move([str(postmaster), *children], self.folder)


def _move(processes: list[str], folder: Path) -> None:
    """Move processes into a group, except those that have ended by now."""
    for process in processes:
        with suppress(ProcessLookupError):
            (folder / "cgroup.procs").write_text(process, encoding="ascii")


def group() -> Group:
    """Return a group that can be made; exit with an explanation where there is none."""
    name = f"aoc-bench-{os.getpid()}"
    if (GROUPS / "memory" / "memory.limit_in_bytes").exists():
        found = Group(GROUPS / "memory" / name, "memory.limit_in_bytes")
    elif "memory" in _read(GROUPS / "cgroup.subtree_control"):
        found = Group(GROUPS / name, "memory.max")
    else:
        sys.exit("--beyond-memory limits the server's memory with a control group, and found none for memory.")
    if not os.access(found.folder.parent, os.W_OK):
        sys.exit("--beyond-memory limits the server's memory with a control group. Run it as root.")
    return found


def _read(file: Path) -> str:
    return file.read_text(encoding="ascii") if file.exists() else ""


def measure(lab: Lab) -> Iterator[Ratio]:
    """Compare both orders on clones of one table, with a third of its size as memory."""
    limit, template = group(), lab.light()
    with lab.connect(template) as connection:
        size = int(value(connection, f"SELECT pg_relation_size('{TABLE}') + pg_indexes_size('{TABLE}')"))
    memory = size // 3
    if memory < LEAST:
        sys.exit(f"A third of the table is {memory / 1e6:,.0f} MB, too little for a server: give more --rows.")
    say(f"{size / 1e6:,.0f} MB of table and indexes; the server gets {memory / 1e6:,.0f} MB of memory")
    small = {"shared_buffers": f"{size // 18 // 1024}kB", "max_wal_size": f"{max(size // 6, 2**26) // 1024}kB"}
    lab.set(small)
    with limit.limited(memory):
        key, pages = (_outcome(lab, limit, template, cache) for cache in ("1TB", f"{memory // 1024}kB"))
    lab.set({name: SETTINGS[name] for name in small})
    lab.restart()
    against = "in the order of keys"
    yield Ratio("backfill beyond memory", against, pages[0].speed, key[0].speed, "rows/s", 2, least=True)
    reads = (pages[1] / pages[0].rows, key[1] / key[0].rows)
    yield Ratio("pages read a link, beyond memory", against, *reads, "", None, counted=True)
    yield Ratio("WAL beyond memory", against, pages[0].wal, key[0].wal, "bytes", 0.6, counted=True)
    yield Ratio("HOT updates beyond memory", "all", pages[0].hot * 100, 100, "%", 0.8, counted=True, least=True)


def _outcome(lab: Lab, limit: Group, template: str, cache: str) -> tuple[Outcome, int]:
    """Run the backfill with ``effective_cache_size`` of ``cache``; return its cost, and the pages that it read."""
    read: list[int] = []

    def cold(name: str) -> None:
        with lab.connect(name) as connection:
            connection.execute(f"ALTER DATABASE {name} SET effective_cache_size = '{cache}'".encode())
        lab.server.stop()
        state = load_state(lab.server.folder)
        assert state is not None
        _forget(state.data)
        lab.server.start()
        limit.take(int(_read(state.data / "postmaster.pid").split()[0]))

    def action(lab: Lab, name: str) -> float:
        took = ours()(lab, name)
        with lab.connect(name) as connection:
            read.append(int(value(connection, READ)))
        return took

    return run(lab, template, action, before=cold), read[0]


def _forget(folder: Path) -> None:
    """Let the files of a folder leave the file cache."""
    os.sync()
    for file in (entry for entry in folder.rglob("*") if entry.is_file()):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
