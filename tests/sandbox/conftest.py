"""What the sandbox's tests share: a running server, a feed's line, and how to write a feed."""

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aoc_migrate.sandbox.databases import create_raw_table, prepare
from aoc_migrate.sandbox.server import Server
from tests.servers import guarded_server


@pytest.fixture(scope="package")
def prepared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server with both databases, shared by the tests that only load."""
    server = guarded_server(tmp_path_factory.mktemp("sb"))
    server.start()
    prepare(server)
    yield server
    server.delete()


@pytest.fixture
def unstarted_server(tmp_path: Path) -> Iterator[Server]:
    """A server that was never started."""
    server = guarded_server(tmp_path / "sb")
    yield server
    server.delete()


@pytest.fixture
def raw_tables(prepared_server: Server) -> Iterator[psycopg.Connection[Any]]:
    """A connection whose schema is empty but for the two raw tables, and is gone after the test."""
    with psycopg.connect(prepared_server.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA lab")
        connection.execute("SET search_path = lab")
        create_raw_table(connection, "advisory_raw")
        create_raw_table(connection, "vex_raw")
        yield connection
        connection.execute("DROP SCHEMA lab CASCADE")


_LINE = {
    "source": "invented-feed",
    "kind": "advisory",
    "format": "OSV",
    "upstream_id": "INV-1",
    "document_version": None,
    "schema_version": "1.6.0",
    "retrieved_at": "2025-01-02T03:04:05Z",
    "repository": "example.org/feed",
    "sha256": "a" * 64,
    "raw_encoding": "utf-8",
    "raw": '{"id": "INV-1", "severity": [], "aliases": ["CVE-2025-1"]}',
}


@pytest.fixture
def write_feed(tmp_path: Path) -> Callable[..., Path]:
    """Write a feed; each argument is what differs from a good line, where ``...`` leaves a field out."""

    def write(name: str, *lines: dict[str, object]) -> Path:
        whole = [{key: value for key, value in (_LINE | line).items() if value is not ...} for line in lines]
        data = "".join(json.dumps(line) + "\n" for line in whole).encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return tmp_path / name

    return write
