"""Other engines that speak PostgreSQL's protocol are refused. None runs here: what each answers is faked."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from aoc_migrate.database.engines import ENGINE
from tests.conftest import Aoc, Database

YUGABYTE = {"server_version": "15.2-YB-2025.1.0.0-b0"}
COCKROACH = {"server_version": "13.0.0", "crdb_version": "CockroachDB CCL v25.1.0"}


def message(kind: bytes, *parts: bytes) -> bytes:
    """Return one message of the protocol."""
    body = b"".join(parts)
    return kind + struct.pack("!i", len(body) + 4) + body


def status(name: str, value: str) -> bytes:
    """Return a ParameterStatus."""
    return message(b"S", name.encode(), b"\0", value.encode(), b"\0")


READY = message(b"Z", b"I")
REFUSED = message(b"E", b"SERROR\0C0A000\0Munimplemented\0\0") + READY


def answer(value: str) -> bytes:
    """Return a result of one row and one column."""
    column = b"engine\0" + struct.pack("!ihihih", 0, 0, 25, -1, -1, 0)
    row = struct.pack("!hi", 1, len(value)) + value.encode()
    return message(b"T", struct.pack("!h", 1), column) + message(b"D", row) + message(b"C", b"SELECT 1\0") + READY


def serve(client: socket.socket, greeting: dict[str, str], engine: str) -> None:
    """Greet a client, answer the question for the engine, and refuse everything else."""
    with client, client.makefile("rb") as sent:
        (length,) = struct.unpack("!i", sent.read(4))
        sent.read(length - 4)
        reported = {"client_encoding": "UTF8", "standard_conforming_strings": "on"} | greeting
        client.sendall(
            message(b"R", struct.pack("!i", 0)) + b"".join(status(*item) for item in reported.items()) + READY
        )
        while kind := sent.read(1):
            (length,) = struct.unpack("!i", sent.read(4))
            text = sent.read(length - 4)
            if kind != b"Q":
                return
            client.sendall(answer(engine) if ENGINE.encode() in text else REFUSED)


@contextmanager
def faked(greeting: dict[str, str], engine: str = "") -> Iterator[str]:
    """Run a server that greets as another engine does; yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            while True:
                try:
                    client, _ = listening.accept()
                except OSError:
                    return
                serve(client, greeting, engine)

        threading.Thread(target=accept, daemon=True).start()
        yield f"postgresql://u@127.0.0.1:{listening.getsockname()[1]}/d?sslmode=disable&gssencmode=disable"
        listening.shutdown(socket.SHUT_RDWR)


ENGINES = {
    "YugabyteDB": (YUGABYTE, ""),
    "CockroachDB": (COCKROACH, ""),
    "Postgres Pro Shardman": ({"server_version": "17.5"}, "Postgres Pro Shardman"),
}


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("command", ["audit", "upgrade", "wait"])
def test_a_faked_engine_that_rejects_settings_is_named(name: str, command: str, aoc: Aoc) -> None:
    """An engine that refuses our first settings is named, by its greeting or by what it answers to a question."""
    with faked(*ENGINES[name]) as url:
        ran = aoc.json(command, "concelier", CONCELIER_DATABASE_URL=url)

    assert (ran.exit_code, ran.slugs()) == (2, ["other-engine"]), (ran.out, ran.err)
    assert ran.finding("other-engine")["problem"].startswith(f"This server is {name}, not PostgreSQL: ")


def test_a_server_that_rejects_settings_and_is_no_other_engine_is_unreachable(aoc: Aoc) -> None:
    """A server that refuses our settings for another reason is reported with that reason."""
    with faked({"server_version": "17.5"}) as url:
        ran = aoc.json("audit", "concelier", CONCELIER_DATABASE_URL=url)

    assert (ran.exit_code, ran.slugs()) == (3, ["unreachable"])
    assert "unimplemented" in ran.finding("unreachable")["problem"]


LIMITLESS = "CREATE SCHEMA rds_aurora; CREATE TABLE rds_aurora.limitless_tables ()"
PLANTED = {
    "Aurora PostgreSQL Limitless Database": LIMITLESS,
    "Postgres Pro Shardman": "UPDATE pg_extension SET extname = 'shardman' WHERE extname = 'plpgsql'",
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_faked_engine_that_accepts_settings_is_named(name: str, excititor: Database, aoc: Aoc) -> None:
    """PostgreSQL with a relation or an extension that only another engine has is refused, and nothing is made."""
    excititor.run(PLANTED[name])
    aoc.configure(excititor)

    ran = aoc.json("upgrade", "excititor")

    assert (ran.exit_code, ran.slugs()) == (2, ["other-engine"])
    assert name in ran.finding("other-engine")["problem"]
    assert excititor.rows("SELECT relname FROM pg_class WHERE starts_with(relname, 'aoc_')") == []
