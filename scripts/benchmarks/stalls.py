"""How long writers and readers wait while a migration runs.

Two writers and a reader keep a fixed rate, whatever happens (open loop: a wait counts from the time at which the
statement was due): with nothing running, during our upgrade, swaps of the view and back, our downgrade, and the
same change as one plain transaction. Then the upgrade and the plain transaction again, with a long reader.
"""

import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from typing import Any

import psycopg

from scripts.benchmarks.lab import Lab, value
from scripts.benchmarks.results import say
from scripts.benchmarks.rivals import statements

RATE = 100  # statements a second, of each client
SWAPS = 10
LONG = 12  # seconds that the long reader stays open
AT_ONCE = "SELECT 1"
BACKFILL = "SELECT count(*) FROM pg_stat_activity WHERE application_name ~ '^aoc-migrate upgrade @.*: link rows'"
HOT = "SELECT ARRAY[n_tup_hot_upd, n_tup_upd] FROM pg_stat_user_tables WHERE relname = 'advisory_raw'"
INSERT = """INSERT INTO advisory_raw (id, tenant, source_vendor, upstream_id, content_hash, retrieved_at, source,
    upstream, linkset, content) SELECT x, 'bench', 'bench', x, 'sha256:' || x, clock_timestamp(), '{}', '{}', '{}',
    jsonb_build_object('raw', repeat(x, 80)) FROM (SELECT gen_random_uuid()::text AS x) AS s"""
READ = "SELECT count(*) FROM (SELECT id, title FROM advisory LIMIT 10) AS s"
CLIENTS = {"writer 1": INSERT, "writer 2": INSERT, "reader of advisory": READ}


def measure(lab: Lab) -> Iterator[dict[str, Any]]:
    """Yield for each migration its name, seconds, statements, failures, and waits in milliseconds."""
    name = lab.clone(lab.legacy(), "stalls")

    def aoc(*words: str) -> dict[str, Any]:
        return lab.aoc(name, *words)

    def upgrade() -> dict[str, Any]:
        return aoc("upgrade", "concelier")

    def plain() -> None:
        one_transaction(lab, name)

    def back_and_forth() -> None:  # the last report says nothing of the others
        for _ in range(SWAPS):
            aoc("downgrade", "concelier", "concelier_0007")
            aoc("upgrade", "concelier", "--release-hold")

    yield under_load(lab, name, "nothing running", lambda: time.sleep(10))
    yield under_load(lab, name, "`upgrade`", upgrade)
    yield under_load(lab, name, f"{SWAPS} view swaps and reversals", back_and_forth)
    yield under_load(lab, name, "`downgrade base`", lambda: aoc("downgrade", "concelier", "base"))
    lab.clone(lab.legacy(), name)
    yield under_load(lab, name, "the same changes as one plain transaction", plain)
    for action, where, once in (
        (upgrade, f"`upgrade`, a {LONG} s reader from its start", AT_ONCE),
        (upgrade, f"`upgrade`, a {LONG} s reader from its backfill", BACKFILL),
        (plain, f"one plain transaction, a {LONG} s reader from its start", AT_ONCE),
    ):
        lab.clone(lab.legacy(), name)
        yield under_load(lab, name, where, action, once)
    lab.drop(name)


@contextmanager
def reading(lab: Lab, database: str, once: str) -> Iterator[None]:
    """Read in one transaction that stays open for ``LONG`` seconds, beginning once a query returns more than 0."""
    opened, ended = threading.Event(), threading.Event()

    def read() -> None:
        with lab.connect("postgres") as watch:
            while not value(watch, once):
                if ended.wait(0.02):
                    return
        with psycopg.connect(lab.server.url(database)) as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            for table in ("advisory_raw", "advisory"):
                connection.execute(f"SELECT FROM {table} LIMIT 1".encode())
            opened.set()
            ended.wait(LONG)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        if once == AT_ONCE:
            opened.wait()
        yield
    finally:
        ended.set()
        reader.join()


def one_transaction(lab: Lab, name: str) -> None:
    """Do it all at once, as a naive migration does."""
    with psycopg.connect(lab.server.url(name)) as connection:
        for statement in statements():
            connection.execute(statement.encode())


def under_load(
    lab: Lab, database: str, name: str, action: Callable[[], dict[str, Any] | None], once: str = ""
) -> dict[str, Any]:
    """Run ``action`` while the clients work; return their waits and failures, and the share of HOT updates.

    ``once``: the query for a long reader to begin by, if there is one.
    """
    url = lab.server.url(database)
    ended, waited = multiprocessing.Event(), multiprocessing.Queue()  # type: ignore[var-annotated]
    clients = [multiprocessing.Process(target=work, args=(url, *item, ended, waited)) for item in CLIENTS.items()]
    for client in clients:
        client.start()
    time.sleep(2)
    with lab.connect(database) as connection, reading(lab, database, once) if once else nullcontext():
        hot, updated = value(connection, HOT)
        begun = time.monotonic()
        report = action() or {"steps": []}
        took = time.monotonic() - begun
        time.sleep(1)
        hot, updated = (now - before for now, before in zip(value(connection, HOT), (hot, updated), strict=True))
    ended.set()
    results = [waited.get() for _ in clients]
    for client in clients:
        client.join()
    waits = sorted(wait for _, found, _ in results for wait in found)
    say(f"{name}: {took:.1f} s, longest wait {waits[-1]:.0f} ms")
    return {
        "name": name,
        "seconds": round(took, 1),
        "statements": len(waits),
        "failed": sum(sum(errors.values()) for _, _, errors in results),
        "median_ms": round(waits[len(waits) // 2], 1),
        "late_ms": round(waits[int(len(waits) * 0.99)], 1),
        "longest_ms": round(waits[-1], 1),
        "tries": max((step["attempts"] for step in report["steps"]), default=1),
        "hot": round(100 * hot / updated, 1) if updated else None,
    }


def work(url: str, name: str, statement: str, ended: Event, waited: "Queue[Any]") -> None:
    """Run a statement at a fixed rate until ``ended``; send the waits in ms, and errors by SQLSTATE."""
    waits, errors, due = [], Counter[str](), time.monotonic()
    with psycopg.connect(url, autocommit=True) as connection:
        while not ended.is_set():
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                connection.execute(statement.encode())
            except psycopg.Error as error:
                errors[error.sqlstate or "no connection"] += 1
            waits.append((time.monotonic() - due) * 1000)
            due += 1 / RATE
    waited.put((name, waits, errors))
