"""Feeds: which lines become rows, and which are refused."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aoc_migrate.errors import Abort
from aoc_migrate.sandbox.feed import feed_table, load_feed

DATA = Path(__file__).parents[2].parent / "shared" / "data"
RAW = {"id": "INV-1", "severity": [], "aliases": ["CVE-2025-1"]}


def count(connection: psycopg.Connection[Any], table: str = "advisory_raw") -> int:
    """Return the number of rows."""
    return connection.execute(f"SELECT FROM {table}").rowcount


@pytest.mark.parametrize("name", ["feed.ndjson", "feed.ndjson.gz"])
def test_a_line_becomes_a_row(
    raw_tables: psycopg.Connection[Any], write_feed: Callable[..., Path], name: str
) -> None:
    """A line becomes a row whose envelope agrees with its columns and whose document is untouched."""
    loaded = load_feed(raw_tables, "advisory_raw", write_feed(name, {}), "acme")

    assert (loaded.rows, loaded.skipped) == (1, {})
    row = raw_tables.execute(
        "SELECT id, tenant, source_vendor, upstream_id, content_hash, retrieved_at::text,"
        " source->>'vendor', upstream->>'content_hash', linkset->'aliases', identifiers->'aliases', content"
        " FROM advisory_raw"
    ).fetchone()
    assert row == (
        "advisory_raw:acme:invented-feed:INV-1:0000001:sha256-aaaaaaaaaaaa",
        "acme",
        "invented-feed",
        "INV-1",
        f"sha256:{'a' * 64}",
        "2025-01-02 03:04:05+00",
        "invented-feed",
        f"sha256:{'a' * 64}",
        ["CVE-2025-1"],
        ["INV-1", "CVE-2025-1"],
        {"format": "OSV", "spec_version": "1.6.0", "raw": RAW},
    )


def test_a_missing_upstream_id_becomes_null(
    raw_tables: psycopg.Connection[Any], write_feed: Callable[..., Path]
) -> None:
    """A document without an id of its own has SQL's NULL there."""
    load_feed(raw_tables, "advisory_raw", write_feed("feed.ndjson", {"upstream_id": None}))

    assert raw_tables.execute("SELECT upstream_id FROM advisory_raw").fetchall() == [(None,)]


def test_the_same_document_loads_twice(
    raw_tables: psycopg.Connection[Any], write_feed: Callable[..., Path]
) -> None:
    """The same document may occur twice: audit finds it, the loader does not."""
    load_feed(raw_tables, "advisory_raw", write_feed("feed.ndjson", {}, {}))

    assert count(raw_tables) == 2


def test_yaml_is_loaded_as_json(raw_tables: psycopg.Connection[Any], write_feed: Callable[..., Path]) -> None:
    """A YAML document is loaded in its JSON form."""
    feed = write_feed("feed.ndjson", {"raw": "id: INV-1\n", "raw_json": '{"id": "INV-1"}'})
    load_feed(raw_tables, "advisory_raw", feed)

    assert raw_tables.execute("SELECT content->'raw' FROM advisory_raw").fetchall() == [({"id": "INV-1"},)]


def test_numbers_keep_every_digit(raw_tables: psycopg.Connection[Any], write_feed: Callable[..., Path]) -> None:
    """Numbers are stored digit by digit as published, not as a float would print them."""
    feed = write_feed("feed.ndjson", {"raw": '{"n": 1.00000000000000000001}'})
    load_feed(raw_tables, "advisory_raw", feed)

    number = raw_tables.execute("SELECT content #>> '{raw,n}' FROM advisory_raw").fetchone()
    assert number == ("1.00000000000000000001",)


def test_a_large_document_loads_whole(
    raw_tables: psycopg.Connection[Any], write_feed: Callable[..., Path]
) -> None:
    """A document of 2 MB loads whole."""
    feed = write_feed("feed.ndjson.gz", {"raw": json.dumps({"details": "x" * 2_000_000})})
    load_feed(raw_tables, "advisory_raw", feed)

    size = raw_tables.execute("SELECT length(content #>> '{raw,details}') FROM advisory_raw").fetchone()
    assert size == (2_000_000,)


REFUSED = {
    "NUL": {"raw": '{"secret": "a\\u0000b"}'},
    "surrogate": {"raw": '{"secret": "\\ud83d"}'},
    "the document is not JSON": {"raw": "secret: yaml"},
    "not JSON": {"raw": '{"secret": NaN}'},
    "nested": {"raw": "[" * 100_000},
    "not UTF-8": {"raw_encoding": "base64"},
    "sha256": {"sha256": "secret"},
    "retrieved_at": {"retrieved_at": "secret"},
    "time with a time zone": {"retrieved_at": "2025-01-02T03:04:05"},
    "kind is vex": {"kind": "vex"},
    "field raw": {"raw": ...},
    "upstream_id is missing": {"upstream_id": ...},
    "upstream_id is neither": {"upstream_id": 7},
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_bad_line_stops_the_load(
    raw_tables: psycopg.Connection[Any], write_feed: Callable[..., Path], reason: str
) -> None:
    """A line that cannot be a row stops the load, with its number and the reason, without its content."""
    feed = write_feed("feed.ndjson", {}, REFUSED[reason], {})

    with pytest.raises(Abort, match=rf"line 2: .*({reason})") as refusal:
        load_feed(raw_tables, "advisory_raw", feed)

    assert "secret" not in str(refusal.value)
    assert count(raw_tables) == 0


def test_postgresqls_refusal_is_not_quoted(
    raw_tables: psycopg.Connection[Any], write_feed: Callable[..., Path]
) -> None:
    """A refusal that only PostgreSQL can make does not quote the value."""
    feed = write_feed("feed.ndjson", {"raw": '{"secret": 1e200000}'})

    with pytest.raises(Abort, match="refused a document") as refusal:
        load_feed(raw_tables, "advisory_raw", feed)

    assert "secret" not in str(refusal.value)


def test_skip_loads_the_other_lines(raw_tables: psycopg.Connection[Any], write_feed: Callable[..., Path]) -> None:
    """With skip, the other lines are loaded and those left out are counted by reason."""
    nul = {"raw": '{"a": "\\u0000"}'}
    feed = write_feed("feed.ndjson", {}, nul, {"raw": "no"}, nul, {})

    loaded = load_feed(raw_tables, "advisory_raw", feed, skip=True)

    assert loaded.rows == count(raw_tables) == 2
    assert sorted(loaded.skipped.values()) == [1, 2]


def test_an_escaped_backslash_is_text(
    raw_tables: psycopg.Connection[Any], write_feed: Callable[..., Path]
) -> None:
    r"""A backslash followed by u0000 is text, not a NUL character."""
    feed = write_feed("feed.ndjson", {"raw": '{"a": "\\\\u0000 \\ud83d\\ude00"}'})

    assert load_feed(raw_tables, "advisory_raw", feed).rows == 1


def test_a_loaded_feed_is_refused(raw_tables: psycopg.Connection[Any], write_feed: Callable[..., Path]) -> None:
    """A feed that is loaded already is refused; another tenant may have it too."""
    feed = write_feed("feed.ndjson", {})
    load_feed(raw_tables, "advisory_raw", feed)

    with pytest.raises(Abort, match="already has rows"):
        load_feed(raw_tables, "advisory_raw", feed)

    assert load_feed(raw_tables, "advisory_raw", feed, "acme").rows == 1


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.ndjson", b"", "empty"),
        ("blank.ndjson", b"\n \n", "empty"),
        ("prose.ndjson", b"hello\n", "line 1: the line is not JSON"),
        ("list.ndjson", b"[]\n", "not a JSON object"),
        ("latin.ndjson", b'{"source": "\xe9"}\n', "not JSON"),
        ("plain.ndjson.gz", b"{}\n", "not a gzip file"),
        ("cut.ndjson.gz", gzip.compress(b"x" * 5000, mtime=0)[:-20], "damaged gzip"),
    ],
)
def test_what_is_not_a_feed_is_refused(
    raw_tables: psycopg.Connection[Any], tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    """Anything but a feed is refused by name and reason, and nothing is loaded."""
    (tmp_path / name).write_bytes(content)

    with pytest.raises(Abort, match=rf"{name}.*{reason}"):
        load_feed(raw_tables, "advisory_raw", tmp_path / name)

    assert count(raw_tables) == 0


@pytest.mark.parametrize(("name", "reason"), [("", "Is a directory"), ("none", "No such file")])
def test_what_is_not_a_file_is_refused(
    raw_tables: psycopg.Connection[Any], tmp_path: Path, name: str, reason: str
) -> None:
    """A folder, or nothing at all, is refused with the operating system's reason."""
    with pytest.raises(Abort, match=reason):
        load_feed(raw_tables, "advisory_raw", tmp_path / name)


def test_the_first_line_names_the_table(write_feed: Callable[..., Path]) -> None:
    """A feed's first line says where it belongs, or nothing."""
    assert feed_table(write_feed("a", {})) == "advisory_raw"
    assert feed_table(write_feed("b", {"kind": "vex"})) == "vex_raw"
    assert feed_table(write_feed("c", {"kind": None})) is None
    assert feed_table(write_feed("d")) is None


@pytest.mark.skipif(not DATA.is_dir(), reason=f"the real documents are not in {DATA}")
@pytest.mark.parametrize(
    ("file", "table", "rows"), [("advisories", "advisory_raw", 4241), ("vex", "vex_raw", 817)]
)
def test_every_real_document_loads(raw_tables: psycopg.Connection[Any], file: str, table: str, rows: int) -> None:
    """Every real document loads."""
    assert load_feed(raw_tables, table, DATA / f"{file}.ndjson.gz").rows == rows
    assert count(raw_tables, table) == rows
