"""How long writers and readers wait while a migration runs.

Two writers and a reader keep a fixed rate, whatever happens (open loop: a wait counts from the time at which the
statement was due): with nothing running, during our upgrade, swaps of the view and back, our downgrade, and the
same change as one plain transaction.
"""

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from typing import Any

import psycopg

from scripts.benchmarks.lab import Lab
from scripts.benchmarks.results import say
from scripts.benchmarks.rivals import statements

RATE = 100  # statements a second, of each client
SWAPS = 10
INSERT = """INSERT INTO advisory_raw (id, tenant, source_vendor, upstream_id, content_hash, retrieved_at, source,
    upstream, linkset, content) SELECT x, 'bench', 'bench', x, 'sha256:' || x, clock_timestamp(), '{}', '{}', '{}',
    jsonb_build_object('raw', repeat(x, 80)) FROM (SELECT gen_random_uuid()::text AS x) AS s"""
READ = "SELECT count(*) FROM (SELECT id, title FROM advisory LIMIT 10) AS s"
CLIENTS = {"writer 1": INSERT, "writer 2": INSERT, "reader of advisory": READ}


def measure(lab: Lab) -> Iterator[dict[str, Any]]:
    """Yield for each migration its name, seconds, statements, failures, and waits in milliseconds."""
    name = lab.clone(lab.legacy(), "stalls")

    def aoc(*words: str) -> None:
        lab.aoc(name, *words)

    def back_and_forth() -> None:
        for _ in range(SWAPS):
            aoc("downgrade", "concelier", "concelier_0007")
            aoc("upgrade", "concelier", "--release-hold")

    yield under_load(lab, name, "nothing running", lambda: time.sleep(10))
    yield under_load(lab, name, "`upgrade`", lambda: aoc("upgrade", "concelier"))
    yield under_load(lab, name, f"{SWAPS} view swaps and reversals", back_and_forth)
    yield under_load(lab, name, "`downgrade base`", lambda: aoc("downgrade", "concelier", "base"))
    lab.clone(lab.legacy(), name)
    yield under_load(lab, name, "the same changes as one plain transaction", lambda: one_transaction(lab, name))
    lab.drop(name)


def one_transaction(lab: Lab, name: str) -> None:
    """Do it all at once, as a naive migration does."""
    with psycopg.connect(lab.server.url(name)) as connection:
        for statement in statements():
            connection.execute(statement.encode())


def under_load(lab: Lab, database: str, name: str, action: Callable[[], None]) -> dict[str, Any]:
    """Run ``action`` while the clients work; return their waits and failures."""
    url = lab.server.url(database)
    ended, waited = multiprocessing.Event(), multiprocessing.Queue()  # type: ignore[var-annotated]
    clients = [multiprocessing.Process(target=work, args=(url, *item, ended, waited)) for item in CLIENTS.items()]
    for client in clients:
        client.start()
    time.sleep(2)
    begun = time.monotonic()
    action()
    took = time.monotonic() - begun
    time.sleep(1)
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
