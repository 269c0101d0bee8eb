"""What a soak has to show: nothing is lost, nothing failed that may not, and how long anybody waited."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg.rows import dict_row

from aoc_migrate.sandbox.databases import RAW_TABLES
from scripts.proofs.soak_ground import Ground
from scripts.proofs.soak_rows import COLUMNS, digest
from tests.faults.outcome import differences, outcome
from tests.helpers import wait_until

Line = dict[str, Any]

LIMIT_MS = 1100
"""--max-stall for a strong lock, and the second that a batch may hold its rows (docs/operations.md)."""
_GONE = re.compile(r'relation "public\.aoc_\w+" does not exist')
"""pg_dump lists all tables, and then locks them (docs/operations.md, Dumps)."""
_CAUGHT_UP = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"


def refusal(target: str, line: Line) -> str:
    """Return the documented class of a failed statement of a client, or an empty string."""
    table, what = RAW_TABLES.get(target, ""), line["what"]
    if line["sqlstate"] == "23505" and line["constraint"] == f"{table}_idempotency_v1":
        return "duplicate refused by the idempotency index" if what in ("revert", "duplicate") else ""
    if line["sqlstate"] == "23514" and line["constraint"].startswith(f"{table}_") and what == "bad":
        return "bad row refused by a CHECK"
    if line["sqlstate"] == "23502" and what == "bad":
        return "bad row refused by NOT NULL"
    if line["sqlstate"] == "25006" and what == "merged":
        return "write to the view advisory refused"
    return ""


def lost_connection(ground: Ground, line: Line) -> str:
    """Return the class of a failure that a kill of ours explains, or an empty string."""
    if line["sqlstate"] not in ("", "57P01", "57P02", "57P03") and line["what"] != "pg_dump":
        return ""
    if line["sqlstate"] in ("", "57P01") and line["pid"] in ground.terminated:
        return "session terminated by us"
    if line["what"] == "pg_dump" and _GONE.search(line["message"]):
        return "dump that began while one of our tables was dropped"
    if ground.disturbed(line["begun"], line["ended"]):
        return "connection lost with the server"
    return ""


def failures(ground: Ground, notes: dict[str, list[Line]]) -> tuple[Counter[str], list[str]]:
    """Return the failed statements by documented class, and a sentence for each other one."""
    classes, wrong = Counter[str](), []
    for name, lines in notes.items():
        target = name.partition("-")[0]
        for line in lines:
            if line["kind"] == "failure":
                known = refusal(target, line) or lost_connection(ground, line)
                if known:
                    classes[known] += 1
                else:
                    wrong.append(f"{name}: {line['what']} failed: {line['sqlstate']} {line['message']}")
            elif line["kind"] == "wrong":
                wrong.append(f"{name}: {line['problem']}")
        if not lines or lines[-1]["kind"] != "end":
            wrong.append(f"{name}: the client died")
    return classes, wrong


def longest(ground: Ground, notes: dict[str, list[Line]]) -> dict[str, tuple[float, str]]:
    """Return the longest wait in ms of a client and of the bystander, and of which statement, outages left out."""
    found = {"clients": (0.0, ""), "bystander": (0.0, "")}
    for name, lines in notes.items():
        ends = [line for line in lines if line["kind"] == "end"]
        for milliseconds, begun, what in (wait for line in ends for wait in line["waits"]):
            who = "bystander" if "bystander" in name else "clients"
            if not ground.disturbed(begun, begun + milliseconds / 1000):
                found[who] = max(found[who], (milliseconds, f"{name}: {what}"))
    return found


def rows(ground: Ground, notes: dict[str, list[Line]]) -> tuple[Counter[str], list[str]]:
    """Compare what was acknowledged with raw tables and quarantines; return counts, and what is wrong."""
    counts, wrong = Counter[str](), []
    for target, table in RAW_TABLES.items():
        lines = [line for name, each in notes.items() if name.startswith(target) for line in each]
        acknowledged = {line["id"]: line["digest"] for line in lines if line["kind"] == "row"}
        unknown = {line["id"]: line["digest"] for line in lines if line["kind"] == "unknown"}
        with ground.connect(target) as connection:
            live = dict(_digests(connection, table))
            moved: dict[str, set[str]] = {}
            if connection.execute("SELECT to_regclass(%s)", [f"{table}_quarantine"]).fetchone() != (None,):
                for id_, value in _digests(connection, f"{table}_quarantine"):
                    moved.setdefault(id_, set()).add(value)
        for id_, value in acknowledged.items():
            if live.get(id_) != value and value not in moved.get(id_, ()):
                where = "is in the table with other values" if id_ in live else "is gone"
                wrong.append(f"{table}: {id_}, which was acknowledged, {where}")
        for id_ in live.keys() | moved.keys():
            if id_ not in acknowledged and id_ not in unknown:
                wrong.append(f"{table}: nobody stored {id_}, or it was refused")
        counts += Counter(acknowledged=len(acknowledged), unknown=len(unknown), live=len(live), moved=len(moved))
    return counts, wrong + _merged(ground, notes)


def _digests(connection: "psycopg.Connection[Any]", table: str) -> Iterator[tuple[str, str]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        for row in cursor.execute(f"SELECT {', '.join(COLUMNS)} FROM {table}".encode()):
            yield row["id"], digest(row)


def _merged(ground: Ground, notes: dict[str, list[Line]]) -> list[str]:
    stored = {line["id"] for lines in notes.values() for line in lines if line["kind"] == "merged"}
    with ground.connect("concelier") as connection:
        found = {id_ for (id_,) in connection.execute("SELECT id FROM advisory")}
    return [f"advisory: {id_}, which was acknowledged, is gone" for id_ in stored - found]


def standby(ground: Ground) -> list[str]:
    """Return how the standby differs from the primary, once it has replayed everything."""
    wrong = []
    for target in RAW_TABLES:
        with (
            ground.connect(target) as first,
            psycopg.connect(ground.standby.url(target), autocommit=True) as second,
        ):
            last = first.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
            wait_until(lambda: second.execute(_CAUGHT_UP, last).fetchone() == (True,), 60)  # noqa: B023
            wrong += [f"{target}'s standby {line}" for line in differences(outcome(first), outcome(second))]
    return wrong
