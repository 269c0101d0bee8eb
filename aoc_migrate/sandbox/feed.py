"""Loads real advisories from feeds. Each line is a JSON object with a document and the facts of its fetch."""

import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from aoc_migrate.errors import refused
from aoc_migrate.sandbox.envelope import Envelope, Loaded, as_json, copy_rows

_KINDS = {"advisory": "advisory_raw", "vex": "vex_raw"}
_GZIP = b"\x1f\x8b"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SUSPICIOUS = re.compile(rb"u0000|\\ud[89a-f]", re.IGNORECASE)


class RefusedError(ValueError):
    """A line cannot become a row. The message says why and never quotes the document."""


def load_feed(
    connection: psycopg.Connection[Any],
    table: str,
    path: Path,
    tenant: str = "default",
    *,
    skip: bool = False,
) -> Loaded:
    """Load the feed ``path`` (NDJSON, gzipped or not) into ``table``: all of it, or nothing.

    With ``skip``, lines that cannot become rows are skipped and counted by reason; otherwise the first one raises
    Abort (exit 2), as does a file that is not a feed.
    """
    skipped: Counter[str] = Counter()

    def rows() -> Iterator[Envelope]:
        for number, line in _lines(path):
            try:
                yield to_row(table, number, line, tenant)
            except RefusedError as refusal:
                if not skip:
                    raise refused(
                        f"{path}, line {number}: {refusal}. Nothing was loaded; --skip skips such lines."
                    ) from None
                skipped[str(refusal)] += 1

    count = copy_rows(connection, table, rows())
    if count == 0:
        reason = f"in its lines, {skipped.most_common(1)[0][0]}" if skipped else "it is empty"
        raise refused(f"{path} is not a feed of advisories: {reason}.")
    return Loaded(count, dict(skipped))


def feed_table(path: Path) -> str | None:
    """Return the raw table that the feed's first line names by its kind, if any.

    Raises Abort (exit 2) for an unreadable file.
    """
    for _number, line in _lines(path):
        try:
            return _KINDS.get(str(_parse(line, "the line").get("kind")))
        except (RefusedError, AttributeError):
            return None
    return None


def to_row(table: str, number: int, line: bytes, tenant: str) -> Envelope:
    """Return the row of a feed's line; ``number`` counts from 1. Raises RefusedError."""
    entry = _parse(line, "the line")
    _check_fields(entry, table)
    text = entry.get("raw_json") or entry["raw"]
    document = _parse(text, "the document")
    if _SUSPICIOUS.search(line):
        _check_characters((entry, document))
    vendor, upstream_id, fetched = entry["source"], entry["upstream_id"], entry["retrieved_at"]
    content_hash = f"sha256:{entry['sha256']}"
    aliases = _aliases(document)
    head = as_json({"format": entry.get("format"), "spec_version": entry.get("schema_version")})
    return Envelope(
        # The padded number keeps rows with the same time in the feed's order.
        id=f"{table}:{tenant}:{vendor}:{upstream_id or 'none'}:{number:07d}:sha256-{entry['sha256'][:12]}",
        tenant=tenant,
        source_vendor=vendor,
        upstream_id=upstream_id,
        content_hash=content_hash,
        retrieved_at=fetched,
        source=as_json(
            {
                "vendor": vendor,
                "stream": entry.get("kind"),
                "api": entry.get("repository"),
                "collector_version": "sandbox",
            }
        ),
        upstream=as_json(
            {
                "upstream_id": upstream_id,
                "document_version": entry.get("document_version"),
                "content_hash": content_hash,
                "fetched_at": fetched,
                "signature": {"present": False},
            }
        ),
        linkset=as_json({"aliases": aliases, "purls": [], "cpes": [], "references": [], "reconciled_from": []}),
        # The document's own text, because parsing and printing it could change its numbers.
        content=f'{head[:-1]},"raw":{text}}}',
        identifiers=as_json({"aliases": [*([upstream_id] if upstream_id else []), *aliases]}),
    )


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank, with their numbers. Raises Abort for an unreadable file."""
    number = 0
    try:
        with path.open("rb") as file:
            packed = file.peek(len(_GZIP)).startswith(_GZIP)
            if path.suffix == ".gz" and not packed:
                raise refused(f"{path} is not a gzip file, although its name says so.")
            for number, line in enumerate(gzip.GzipFile(fileobj=file) if packed else file, 1):
                if not line.isspace():
                    yield number, line
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise refused(f"{path} is a damaged gzip file: it ends after line {number}.") from None
    except OSError as error:
        raise refused(f"{path} cannot be read: {error.strerror}.") from None


def _parse(text: str | bytes, what: str) -> Any:
    def refuse(_constant: str) -> None:
        raise RefusedError(f"{what} is not JSON")

    try:
        return json.loads(text if isinstance(text, str) else text.decode(), parse_constant=refuse)
    except RecursionError:
        raise RefusedError(f"{what} is nested too deeply") from None
    except ValueError:
        raise RefusedError(f"{what} is not JSON") from None


def _check_fields(entry: Any, table: str) -> None:
    if not isinstance(entry, dict):
        raise RefusedError("the line is not a JSON object")
    for name in ("source", "retrieved_at", "sha256", "raw"):
        if not isinstance(entry.get(name), str) or not entry[name].strip():
            raise RefusedError(f"the field {name} is missing or not a string")
    for name in ("upstream_id", "raw_json"):
        if not isinstance(entry.get(name), str | None):
            raise RefusedError(f"the field {name} is neither a string nor null")
    if "upstream_id" not in entry:
        raise RefusedError("the field upstream_id is missing")
    if entry.get("raw_encoding", "utf-8") != "utf-8":
        raise RefusedError("the document is not UTF-8")
    if not _SHA256.fullmatch(entry["sha256"]):
        raise RefusedError("the field sha256 is not 64 lowercase hexadecimal digits")
    if not _is_instant(entry["retrieved_at"]):
        raise RefusedError("the field retrieved_at is not a time with a time zone")
    if _KINDS.get(str(entry.get("kind")), table) != table:
        raise RefusedError(f"its kind is {entry['kind']}, which does not belong in {table}")


def _is_instant(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _check_characters(value: object) -> None:
    """Raise RefusedError for the two characters that JSON allows and jsonb does not."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple):
            waiting += item
        elif isinstance(item, str):
            if "\0" in item:
                raise RefusedError("it has a NUL character (\\u0000), which jsonb cannot hold")
            if any("\ud800" <= character <= "\udfff" for character in item):
                raise RefusedError("it has a lone surrogate (\\ud800 to \\udfff), which jsonb cannot hold")


def _aliases(document: Any) -> list[str]:
    """Return the aliases of an OSV document; other formats have no such list."""
    found = document.get("aliases") if isinstance(document, dict) else None
    return [alias for alias in found if isinstance(alias, str)] if isinstance(found, list) else []
