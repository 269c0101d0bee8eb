"""What the migration reads and writes, in bytes: as measured, and extended to tables far larger than memory.

There the disk decides, not the CPU. So each step takes what its bytes take at a stated rate, or what the measured
time grows to in proportion, whichever is more.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from aoc_migrate.contract.v1 import ADVISORY_RAW
from aoc_migrate.database.bookkeeping import JOURNAL
from scripts.benchmarks.lab import TABLE, Lab, value

RATE = 200_000_000  # bytes a second, read or written in sequence
IOPS = 10_000  # pages a second, read or written at random
PAGE = 8192
SORTED = 1000  # bytes of a link that is staged beyond memory, in the staging table and in the sorts that fill it
FAR = (10**8, 10**9)  # rows
INDEXES = {
    "primary key": f"{TABLE}_pkey",
    "idempotency index": ADVISORY_RAW.idempotency_index().name,
    "chain index": ADVISORY_RAW.chain_index().name,
}
PARTS = {
    "table": f"pg_relation_size('{TABLE}')",
    "TOAST": f"(SELECT pg_total_relation_size(reltoastrelid) FROM pg_class WHERE oid = '{TABLE}'::regclass)",
    **{name: f"coalesce(pg_relation_size(to_regclass('{index}')), 0)" for name, index in INDEXES.items()},
    "journal": f"coalesce(pg_total_relation_size(to_regclass('{JOURNAL}')), 0)",
}


def stored(connection: psycopg.Connection[Any]) -> dict[str, int]:
    """Return the bytes of the table and of what belongs to it."""
    return {name: int(value(connection, f"SELECT {size}")) for name, size in PARTS.items()}


def scanned(connection: psycopg.Connection[Any]) -> int:
    """Return how many rows whole reads of the table have read so far."""
    return int(value(connection, f"SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = '{TABLE}'"))


def rehearsed(lab: Lab, copy: str, steps: dict[str, str]) -> dict[str, int]:
    """Rehearse on a copy; return the bytes of WAL of each of ``steps``, by its words, and of the whole upgrade."""
    url = {"AOC_COPY_URL": lab.server.url(copy)}
    report = lab.aoc("growth", "rehearse", "concelier", "--copy-is", copy, "--no-second-upgrade", **url)
    upgrade = [step for step in report["steps"] if step["phase"] == "upgrade"]
    (whole,) = (phase for phase in report["facts"]["phases"] if phase["phase"] == "upgrade")
    found = {
        name: int(next(step["wal_bytes"] for step in upgrade if words in step["statement"]))
        for name, words in steps.items()
    }
    return {**found, "upgrade": int(whole["wal_bytes"])}


@dataclass(frozen=True)
class Work:
    """What a step reads and writes for each row: bytes in sequence, and pages at random."""

    step: str
    words: str
    sequential: float
    random: float = 0

    def seconds(self, rows: int, measured: float) -> float:
        """Return the time for ``rows`` rows; ``measured`` is the time of a row that was measured."""
        return rows * max(self.sequential / RATE + self.random / IOPS, measured)


def per_row(size: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return the bytes of a row of the table that was measured: before, after, and of WAL."""
    return {of: {part: n / size["rows"] for part, n in size[of].items()} for of in ("before", "after", "wal")}


def work(size: dict[str, Any]) -> Iterator[Work]:
    """Yield the steps of the migration."""
    before, after, wal = per_row(size).values()
    links, reads = size["links"] / size["rows"], size["reads"]
    documents = before["TOAST"]
    words = f"reads the table {times(reads['audit'])}, and every document once"
    yield Work("audit", words, before["table"] * reads["audit"] + documents)
    yield Work("proof of 0003", "reads the table once", before["table"])
    for name in ("idempotency index", "chain index"):
        words = "reads the table twice, writes the index, and its WAL"
        yield Work(name, words, 2 * before["table"] + after[name] + wal[name])
    words = (
        "stages and sorts the links; reads and writes each page twice, once of these at random; writes up to two "
        "images of each page to the WAL, and the journal; then reads the table once"
    )
    moved = before["table"] + 2 * before["table"] + after["table"] + SORTED * links
    written = after["journal"] + max(wal["backfill"], 2 * before["table"])
    yield Work("backfill", words, moved + written, 2 * before["table"] / PAGE)
    yield Work("proof of 0007", "reads the table and every document once", after["table"] + documents)
    yield Work("verify", f"reads the table {times(reads['verify'])}", after["table"] * reads["verify"])


def room(size: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield what takes room on the disk, and its bytes for each row."""
    before, after, wal = per_row(size).values()
    rest = wal["upgrade"] - wal["backfill"]
    yield "the table and its documents before", before["table"] + before["TOAST"]
    yield "growth of the table", after["table"] - before["table"]
    yield "new indexes", after["idempotency index"] + after["chain index"]
    yield "journal", after["journal"]
    yield "WAL, as measured for each row", wal["upgrade"]
    yield "WAL, with two images of each page", rest + max(wal["backfill"], 2 * before["table"])
    yield "for a while: staged links, and their sorts", SORTED * size["links"] / size["rows"]


def times(reads: float) -> str:
    """Return a number of reads in words."""
    return {1: "once", 2: "twice"}.get(round(reads), f"{reads:.0f} times")
