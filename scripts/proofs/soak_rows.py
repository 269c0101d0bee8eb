"""The rows that the writers of the soak store, and a digest by which they are recognized afterwards."""

import hashlib
import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

Row = dict[str, Any]

_TEXTS = ("id", "tenant", "source_vendor", "upstream_id", "content_hash")
_JSON = ("source", "upstream", "linkset", "content", "identifiers")
COLUMNS = (*_TEXTS, "retrieved_at", *_JSON)
_BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
_TENANTS = ("default", "acme", "globex")
_BAD: tuple[tuple[str, Any], ...] = (
    ("tenant", None),
    ("source_vendor", "\u3000"),
    ("content_hash", ""),
    ("source", {"vendor": "osv", "severity": "high"}),
    ("linkset", {"effective_range": []}),
    ("linkset", None),
    ("upstream", ["no object"]),
    ("content", {"format": "OSV", "cvss": 9}),
    ("content", "no object"),
    ("identifiers", {"risk_score": 1}),
)
_CLEAN = {"document": 25, "revision": 35, "late": 10}
_DEEDS = _CLEAN | {"revert": 12, "duplicate": 10, "bad": 8}
_MOST_DOCUMENTS = 200


def digest(values: Row) -> str:
    """Return a digest of everything in a row but its link and the time of its storage."""
    known = [values[name] for name in COLUMNS]
    text = [value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value for value in known]
    return hashlib.sha256(json.dumps(text, sort_keys=True).encode()).hexdigest()[:24]


def parameters(row: Row) -> list[Any]:
    """Return the values of a row's columns for a statement."""
    return [Jsonb(row[name]) if name in _JSON and row[name] is not None else row[name] for name in COLUMNS]


@dataclass
class Author:
    """Decides what a writer stores next; the same ``seed`` and the same answers give the same rows."""

    name: str
    seed: str
    documents: list[list[Row]] = field(default_factory=list)
    number: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def next(self, *, guarded: bool = False) -> tuple[str, Row]:
        """Return a deed and its row.

        A revert has the content of an earlier revision again, a duplicate that of the last one, a late revision
        was fetched before the last one; a bad row breaks one rule of the contract. A service that guards its own
        writes stores no reverts, duplicates and bad rows.
        """
        deeds = _CLEAN if guarded else _DEEDS
        deed = self.chance.choices(list(deeds), list(deeds.values()))[0]
        self.number += 1
        if deed == "bad":
            column, value = self.chance.choice(_BAD)
            return deed, self._document() | {column: value}
        known = (
            [each for each in self.documents if len(each) > 1] if deed in ("revert", "late") else self.documents
        )
        if deed == "document" or not known:
            return "document", self._document()
        revisions = self.chance.choice(known)
        last = revisions[-1]
        if deed == "late":
            first = revisions[0]["retrieved_at"]
            return deed, self._revision(last, first + (last["retrieved_at"] - first) * self.chance.random())
        later = last["retrieved_at"] + timedelta(seconds=self.chance.randint(0, 90))
        if deed == "revision":
            return deed, self._revision(last, later)
        again = last if deed == "duplicate" else self.chance.choice(revisions[:-1])
        return deed, again | {"id": self._id(), "retrieved_at": later}

    def stored(self, deed: str, row: Row) -> None:
        """Take note of what the server has acknowledged."""
        if deed == "document":
            self.documents = [*self.documents[-_MOST_DOCUMENTS:], [row]]
        elif deed != "bad":
            revisions = next((e for e in self.documents if e[0]["upstream_id"] == row["upstream_id"]), [])
            revisions.append(row)
            revisions.sort(key=lambda each: (each["retrieved_at"], each["id"]))

    def _id(self) -> str:
        return f"{self.name}:{self.number:07d}"

    def _document(self) -> Row:
        time = _BEGIN + timedelta(seconds=self.number)
        row: Row = {
            "tenant": self.chance.choice(_TENANTS),
            "source_vendor": "osv",
            "upstream_id": f"SOAK-{self.name}-{self.number:07d}",
            "identifiers": self.chance.choice(({"aliases": []}, None)),
            "linkset": {"aliases": [f"CVE-2025-{self.number:07d}"], "references": []},
        }
        return self._revision(row, time)

    def _revision(self, document: Row, time: datetime) -> Row:
        text = " ".join(self.chance.choices(("flaw", "parser", "archive", "bytes", "remote"), k=30))
        raw = {"id": document["upstream_id"], "severity": "high", "details": f"{self.number} {text}"}
        hashed = f"sha256:{hashlib.sha256(json.dumps([self.name, raw]).encode()).hexdigest()}"
        return document | {
            "id": self._id(),
            "content_hash": hashed,
            "retrieved_at": time,
            "source": {"vendor": document["source_vendor"], "api": "soak"},
            "upstream": {"upstream_id": document["upstream_id"], "content_hash": hashed},
            "content": {"format": "OSV", "raw": raw},
        }
