"""The ground of a soak: a primary with a standby and an eager autovacuum, its clients, and its crashes."""

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from aoc_migrate.sandbox.databases import RAW_TABLES, create_legacy_advisory, create_raw_table
from aoc_migrate.sandbox.server import Server
from scripts.proofs.soak_clients import STOP
from scripts.proofs.soak_notes import Notes
from scripts.proofs.soak_rows import COLUMNS, Author, digest, parameters
from tests.conftest import ROOT
from tests.faults.lab import Lab
from tests.faults.pair import standby_of
from tests.servers import running_server

_SETTINGS = {
    "autovacuum_naptime": "1s",
    "autovacuum_vacuum_threshold": "50",
    "autovacuum_vacuum_scale_factor": "0.01",
    "autovacuum_vacuum_insert_threshold": "100",
    "autovacuum_vacuum_insert_scale_factor": "0.01",
    "autovacuum_analyze_threshold": "50",
    "autovacuum_vacuum_cost_delay": "0",
    "wal_retrieve_retry_interval": "500ms",
    "checkpoint_timeout": "1min",
}
CLIENTS = (
    *((kind, target, number) for target in RAW_TABLES for kind in ("writer", "reader") for number in (1, 2)),
    ("legacy", "concelier", 1),
    ("view", "concelier", 1),
    ("bystander", "concelier", 1),
)
_SESSIONS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name LIKE %s "
    "AND backend_type = 'client backend'"  # not a parallel worker, whose end is no end of the session
)
_LAG = (
    "SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), replay_lsn)), 0)::bigint "
    "FROM pg_stat_replication"
)
_VACUUMS = "SELECT sum(autovacuum_count)::int FROM pg_stat_user_tables"


@dataclass
class Ground:
    """Servers and clients, and what was done to them, so that the verdict can explain what failed."""

    primary: Server
    standby: Server
    folder: Path
    outages: list[tuple[float, float]] = field(default_factory=list)
    terminated: set[int] = field(default_factory=set)
    largest_lag: int = 0
    autovacuums: Counter[str] = field(default_factory=Counter)
    dumps: Counter[str] = field(default_factory=Counter)
    over: threading.Event = field(default_factory=threading.Event)
    """Nothing is killed any more, and the operators come to their end."""
    ended: threading.Event = field(default_factory=threading.Event)
    """The operators have ended, and so may whoever works next to them."""

    def __post_init__(self) -> None:
        self.crashing = threading.Lock()

    def crash(self) -> None:
        """Stop the primary as a crash would, and start it again."""
        with self.crashing:
            begun = time.monotonic()
            Lab(self.primary.url("postgres"), self.primary).restart()
            self.outages.append((begun, time.monotonic()))

    def disturbed(self, begun: float, ended: float, slack: float = 1.0) -> bool:
        """Return whether the server was away at some moment between the two."""
        with self.crashing:
            return any(begun <= back + slack and ended >= gone for gone, back in self.outages)

    def terminate(self, target: str, names: str, chance: random.Random) -> bool:
        """Terminate one session of the target's database, by its name; return whether there was one."""
        with self.connect("postgres") as admin:
            pids = sorted(pid for (pid,) in admin.execute(_SESSIONS, [target, names]))
            if not pids:
                return False
            pid = chance.choice(pids)
            self.terminated.add(pid)
            admin.execute("SELECT pg_terminate_backend(%s)", [pid])
        return True

    def connect(self, database: str) -> "psycopg.Connection[Any]":
        """Connect to the primary, in autocommit."""
        return psycopg.connect(self.primary.url(database), autocommit=True)

    @contextmanager
    def clients(self, seed: str, targets: Collection[str]) -> Iterator[None]:
        """Let every client of the targets work; at the end of the block they finish what they are doing."""
        processes = []
        for kind, target, number in CLIENTS:
            if target in targets or kind == "bystander":
                url = self.primary.url("postgres" if kind == "bystander" else target)
                words = [kind, target, str(number), seed, str(self.folder), url]
                processes.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "scripts.proofs.soak_clients", *words],
                        cwd=ROOT,
                        env=os.environ | {"PYTHONPATH": str(ROOT)},
                    )
                )
        try:
            yield
        finally:
            (self.folder / STOP).touch()
            for process in processes:
                process.wait()

    def observe(self) -> None:
        """Watch the standby's lag and count the runs of autovacuum, until the operators end."""
        before: Counter[str] = Counter()
        while not self.ended.wait(0.5):
            try:
                for database in RAW_TABLES:
                    with self.connect(database) as admin:
                        ((lag,),) = admin.execute(_LAG).fetchall()
                        ((vacuums,),) = admin.execute(_VACUUMS).fetchall()
                    self.largest_lag = max(self.largest_lag, lag)
                    self.autovacuums[database] += max(0, vacuums - before[database])  # a crash sets it to 0
                    before[database] = vacuums
            except psycopg.Error:  # the server is away
                continue

    def dump(self, seed: str) -> None:
        """Dump one database after the other, until the operators end."""
        chance, notes = random.Random(f"{seed} dump"), Notes(self.folder, "dump")
        program = self.primary.binaries / "pg_dump"
        while not self.ended.wait(chance.random() * 3):
            target = chance.choice(list(RAW_TABLES))
            begun = time.monotonic()
            ran = subprocess.run(
                [program, "-Fc", self.primary.url(target)],
                check=False,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            self.dumps["done" if ran.returncode == 0 else "failed"] += 1
            if ran.returncode:
                last = ran.stderr.strip().splitlines()
                notes.write(
                    "failure",
                    what="pg_dump",
                    pid=0,
                    begun=begun,
                    ended=time.monotonic(),
                    sqlstate="",
                    constraint="",
                    message=" | ".join(last[:2])[:400],
                )
        notes.end()


@contextmanager
def ground(rows: int, seed: str, folder: Path) -> Iterator[Ground]:
    """Yield servers on which both targets have ``rows`` rows, before their first upgrade."""
    with running_server() as primary:
        with psycopg.connect(primary.url("postgres"), autocommit=True) as admin:
            for name, value in _SETTINGS.items():
                admin.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
            admin.execute("SELECT pg_reload_conf()")
            admin.execute("CREATE TABLE elsewhere AS SELECT 0 AS n")
            for target in RAW_TABLES:
                admin.execute(f"CREATE DATABASE {target}".encode())
        for target, table in RAW_TABLES.items():
            with psycopg.connect(primary.url(target)) as connection:
                create_raw_table(connection, table)
                if target == "concelier":
                    create_legacy_advisory(connection)
                _fill(connection, table, rows, seed, Notes(folder, f"{target}-before"))
        with standby_of(primary) as standby:
            yield Ground(primary, standby, folder)


def _fill(connection: "psycopg.Connection[Any]", table: str, rows: int, seed: str, notes: Notes) -> None:
    author = Author(notes.name, f"{seed} {table}")
    with connection.cursor().copy(f"COPY {table} ({', '.join(COLUMNS)}) FROM STDIN".encode()) as copy:
        for _ in range(rows):
            deed, row = author.next()
            copy.write_row(parameters(row))
            author.stored(deed, row)
            notes.write("row", id=row["id"], digest=digest(row))
    notes.end()
