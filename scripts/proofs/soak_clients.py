"""The services around a soak, each a process of its own: writers, readers, and a bystander.

python -m scripts.proofs.soak_clients KIND TARGET NUMBER SEED FOLDER DATABASE_URL
"""

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from aoc_migrate.sandbox.databases import RAW_TABLES
from scripts.proofs.soak_notes import Notes
from scripts.proofs.soak_rows import COLUMNS, Author, Row, digest, parameters
from tests.servers import die_with_parent

Connection = psycopg.Connection[Any]
Act = Callable[[Connection], None]

STOP = "stop"
"""The file in the soak's folder that ends every client."""
GUARD = ".guard"
"""What follows a table's name in that of the file which turns on the guard of the services themselves."""
_HEAD = (
    "SELECT id FROM {t} WHERE (tenant, source_vendor, upstream_id) = (%s, %s, %s) "
    'ORDER BY retrieved_at DESC, id COLLATE "C" DESC LIMIT 1'
)
_LINKABLE = "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = %s::regclass AND attname = 'supersedes')"
_READS = (
    "SELECT tenant, count(*), max(retrieved_at) FROM {t} GROUP BY tenant ORDER BY tenant",
    "SELECT id, content->'raw'->>'details' FROM {t} WHERE upstream_id > 'SOAK' ORDER BY upstream_id, id LIMIT 20",
    "SELECT upstream_id, content_hash FROM {t} WHERE tenant = 'acme' ORDER BY retrieved_at DESC, id LIMIT 20",
)


class Writer:
    """Stores rows as a service does: new ones name the latest revision of their document, if they can."""

    def __init__(self, notes: Notes, table: str, author: Author) -> None:
        self.notes, self.table, self.author, self.linkable = notes, table, author, False

    def __call__(self, connection: Connection) -> None:
        deed, row = self.author.next(guarded=(self.notes.folder / f"{self.table}{GUARD}").exists())
        try:
            self._store(connection, deed, row)
        except psycopg.errors.IntegrityError:
            self.notes.write("refused", id=row["id"])
            return
        except psycopg.Error:
            self.notes.write("unknown", id=row["id"], digest=digest(row))
            raise
        self.notes.write("row", id=row["id"], digest=digest(row))
        self.author.stored(deed, row)

    def _store(self, connection: Connection, deed: str, row: Row) -> None:
        if not self.linkable:
            with self.notes.statement(connection, "catalog"):
                (self.linkable,) = connection.execute(_LINKABLE, [self.table]).fetchone() or (False,)
        columns, values = [*COLUMNS], parameters(row)
        if self.linkable and deed in ("revision", "revert", "duplicate"):
            columns.append("supersedes")
            with self.notes.statement(connection, "head"):
                key = [row["tenant"], row["source_vendor"], row["upstream_id"]]
                found = connection.execute(_HEAD.format(t=self.table).encode(), key).fetchone()
            values.append(found[0] if found else None)
        marks = ", ".join(["%s"] * len(columns))
        statement = f"INSERT INTO {self.table} ({', '.join(columns)}) VALUES ({marks})"
        with self.notes.statement(connection, deed):
            connection.execute(statement.encode(), values)


class LegacyWriter:
    """Stores merged advisories, until the view refuses them."""

    def __init__(self, notes: Notes) -> None:
        self.notes, self.number = notes, 0

    def __call__(self, connection: Connection) -> None:
        self.number += 1
        id_ = f"merged:{self.number:07d}"
        try:
            with self.notes.statement(connection, "merged"):
                connection.execute(
                    "INSERT INTO advisory (id, tenant, title) VALUES (%s, 'default', %s)", [id_, id_]
                )
        except psycopg.errors.ReadOnlySqlTransaction:
            return
        self.notes.write("merged", id=id_)
        time.sleep(1)


class Reader:
    """Reads the raw table; now and then twice in one transaction, which must see the same rows."""

    def __init__(self, notes: Notes, table: str, chance: random.Random) -> None:
        self.notes, self.table, self.chance = notes, table, chance

    def __call__(self, connection: Connection) -> None:
        query = self.chance.choice(_READS).format(t=self.table).encode()
        if self.chance.random() < 0.1:
            with connection.transaction():
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                first = self._read(connection, query)
                time.sleep(self.chance.random() / 2)
                if self._read(connection, query) != first:
                    self.notes.write("wrong", problem="one snapshot of the raw table showed different rows")
        else:
            self._read(connection, query)

    def _read(self, connection: Connection, query: bytes) -> list[Any]:
        with self.notes.statement(connection, "read"):
            return connection.execute(query).fetchall()


class ViewReader:
    """Reads `advisory`, table or view: there is always one, and it never has fewer rows than before."""

    def __init__(self, notes: Notes) -> None:
        self.notes, self.seen = notes, 0

    def __call__(self, connection: Connection) -> None:
        with self.notes.statement(connection, "view"):
            rows = connection.execute("SELECT id, title, tenant FROM advisory ORDER BY id").fetchall()
        if len(rows) < self.seen:
            self.notes.write("wrong", problem=f"advisory had {self.seen} rows, then {len(rows)}")
        self.seen = len(rows)


class Bystander:
    """Uses a table that nobody migrates: what it waits for is the machine, not us."""

    def __init__(self, notes: Notes) -> None:
        self.notes = notes

    def __call__(self, connection: Connection) -> None:
        with self.notes.statement(connection, "bystander"):
            connection.execute("UPDATE elsewhere SET n = n + 1")


def client(kind: str, target: str, seed: str, notes: Notes) -> Act:
    """Return what a client of a kind does, again and again."""
    table = RAW_TABLES[target]
    match kind:
        case "writer":
            return Writer(notes, table, Author(notes.name, seed))
        case "legacy":
            return LegacyWriter(notes)
        case "reader":
            return Reader(notes, table, random.Random(seed))
        case "view":
            return ViewReader(notes)
    return Bystander(notes)


def work(act: Act, notes: Notes, url: str, pause: float) -> None:
    """Act until the end of the soak, on a new connection after each that was lost."""
    stop = notes.folder / STOP
    while not stop.exists():
        try:
            with notes.statement(None, "connect"):
                connection = psycopg.connect(url, autocommit=True, application_name=f"soak {notes.name}")
            with connection:
                while not stop.exists():
                    act(connection)
                    time.sleep(pause)
        except psycopg.Error:
            time.sleep(0.2)


def main(kind: str, target: str, number: str, seed: str, folder: str, url: str) -> None:
    """Work until the file STOP exists, and write the sums."""
    die_with_parent()
    notes = Notes(Path(folder), f"{target}-{kind}-{number}")
    act = client(kind, target, f"{seed} {notes.name}", notes)
    work(act, notes, url, {"legacy": 0.2, "bystander": 0.05}.get(kind, 0.03))
    notes.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
