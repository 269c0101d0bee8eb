"""Which requests of a run are boundaries: those before which a fault could leave a different state."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import psycopg

# Volatile, and yet they change nothing that outlives their session.
_HARMLESS_FUNCTIONS = {
    "clock_timestamp",
    "pg_control_system",
    "pg_current_wal_lsn",
    "pg_database_size",
    "pg_is_in_recovery",
    "pg_relation_size",
    "pg_table_size",
    "pg_total_relation_size",
    "set_config",
}
_HARMLESS = (
    "BEGIN", "SAVEPOINT", "RELEASE", "SET ", "SHOW ", "ROLLBACK",
    "LOCK ",  # its end lets a lock go
    "PREPARE aoc_plan_", "EXECUTE aoc_plan_", "DEALLOCATE ",  # queries of the catalog
)  # fmt: skip
_READS = ("SELECT", "WITH", "VALUES", "TABLE", "(SELECT")
_WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE|MERGE|INTO|SHARE)\b", re.IGNORECASE)
_LITERAL = re.compile(r"'[^']*'")
_CALLED = re.compile(r"(\w+)\s*\(")


class Boundary(NamedTuple):
    """The ``occurrence``-th request with this SQL, counted from 1: that finds it again in the next run.

    ``inside``: in a transaction, before its COMMIT. Who dies there leaves what who dies before COMMIT leaves.
    """

    sql: str
    occurrence: int
    inside: bool = False

    def __str__(self) -> str:
        text = " ".join(self.sql.split())
        return f"{text if len(text) <= 100 else text[:99] + '…'} (no. {self.occurrence})"


def volatile_functions(connection: psycopg.Connection[Any]) -> set[str]:
    """Return the functions of which PostgreSQL does not promise that they write nothing.

    Those of extensions are left out: of Citus', we only call some that read.
    """
    rows = connection.execute(
        "SELECT DISTINCT proname FROM pg_proc WHERE provolatile = 'v' AND NOT EXISTS ("
        "SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = pg_proc.oid AND deptype = 'e')"
    )
    return {name for (name,) in rows} - _HARMLESS_FUNCTIONS


def boundaries(requests: Iterable[str], volatile: set[str]) -> list[Boundary]:
    """Return the boundaries among the requests of one connection.

    Whatever is not known to be harmless is one. Harmless are reads, a session's own settings, the beginning
    of a transaction, and all of a transaction that is rolled back or that only reads.
    """
    seen: Counter[str] = Counter()
    found: list[Boundary] = []
    inside: list[Boundary] | None = None
    for sql in requests:
        seen[sql] += 1
        here = Boundary(sql, seen[sql], inside is not None and sql != "COMMIT")
        if sql.startswith("BEGIN"):
            inside = []
        elif sql == "ROLLBACK":
            inside = None
        elif sql == "COMMIT":
            found += [*inside, here] if inside else []
            inside = None
        elif not _harmless(sql, volatile):
            (found if inside is None else inside).append(here)
    return found


def _harmless(sql: str, volatile: set[str]) -> bool:
    if sql.startswith(_HARMLESS):
        return True
    bare = _LITERAL.sub("''", sql)
    called = {name.lower() for name in _CALLED.findall(bare)}
    return bare.lstrip().upper().startswith(_READS) and not _WRITES.search(bare) and not called & volatile
