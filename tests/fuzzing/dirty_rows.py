"""Dirty rows, and what must become of each: repaired, moved or linked. Nothing here uses the contract's code."""

import json
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from tests.adversary import BLANKS, FORBIDDEN, OBJECTS, Row, faults

MIRRORS = {"source_vendor": ("source", "vendor"), "upstream_id": ("upstream", "upstream_id")}
MIRRORS["content_hash"] = ("upstream", "content_hash")
DOCUMENT = ("tenant", "source_vendor", "upstream_id")
KEY = (*DOCUMENT, "content_hash")
IDS = ["r0", "r1", "a", "B", "Z", "é", "~", "10", "9", "漢", 'q"', "x\n", "%s", "\u200b", " "]
INSTANTS = {
    "4714-11-24 00:00:00+00 BC": 0,
    "epoch": 1,
    "2024-12-31T23:59:59.999999Z": 2,
    "2025-01-01T00:00:00Z": 3,
    "2025-01-01T01:00:00+01:00": 3,
    "2025-01-01T00:00:00.000001Z": 4,
    "2025-02-28T12:00:00Z": 5,
    "294276-12-31T23:59:59.999999Z": 6,
}
"""Times, and their order; two of them are the same moment."""

nothing = st.sampled_from([None, "", " \t", "\n"])
odd = st.sampled_from([None, "null", "[]", "5", '"severity"', '["severity", {"effective_x": 1}]'])
extra = st.sampled_from([{}, {}, {}, {"severity": "high"}, {"effective_x": 1, "raw": {"severity": 1}}])
times = st.sampled_from(list(INSTANTS))


def mostly(usual: Any, else_: Any) -> Any:
    """Draw from the first three times of four."""
    return st.integers(0, 3).flatmap(lambda n: usual if n else else_)


def envelope(**fields: Any) -> Any:
    """Draw a JSON column as text: an object with the fields and perhaps a key too much, or something else."""
    value = mostly(st.sampled_from(["a", "b"]), st.sampled_from(["", " ", 5, None, {"x": 1}, "x" * 2700]))
    fixed = st.fixed_dictionaries({}, optional=dict.fromkeys(fields, value))
    return mostly(st.builds(lambda one, two: json.dumps(one | two), fixed, extra), odd)


ROW = st.fixed_dictionaries(
    {
        "id": st.sampled_from(IDS),
        "tenant": mostly(st.sampled_from(["t", "u"]), nothing),
        "source_vendor": mostly(st.sampled_from(["a", "b"]), nothing),
        "upstream_id": mostly(st.sampled_from(["a", "x" * 2640]), nothing),
        "content_hash": mostly(st.sampled_from(["h", "i"]), nothing),
        "retrieved_at": mostly(times, st.sampled_from([None, "infinity", "-infinity"])),
        "source": envelope(vendor=1),
        "upstream": envelope(upstream_id=1, content_hash=1),
        "linkset": envelope(aliases=1),
        "content": envelope(raw=1),
        "identifiers": envelope(cve=1),
        "supersedes": st.sampled_from([None, "gone", *IDS]),
    }
)
CLEAN = st.fixed_dictionaries(
    {
        "id": st.sampled_from(IDS[:-1]),
        "upstream_id": st.sampled_from(["a", "b"]),
        "retrieved_at": times,
        "supersedes": st.sampled_from([None, None, "gone", *IDS]),
    }
).map(
    lambda drawn: (
        {"tenant": "t", "source_vendor": "v", "content_hash": drawn["id"]} | dict.fromkeys(OBJECTS, "{}") | drawn
    )
)


def tables(row: Any, most: int) -> Any:
    """Draw up to that many rows, each with an id of its own."""
    return st.lists(row, min_size=1, max_size=most, unique_by=lambda drawn: str(drawn["id"]))


def repaired(row: Row) -> Row | None:
    """Return a row as it is repaired, or None where it has to move."""
    new = dict(row)
    for column, (holder, field) in MIRRORS.items():
        document = json.loads(row[holder] or "null")
        field_value = document.get(field) if isinstance(document, dict) else None
        if not (row[column] or "").strip(BLANKS) and isinstance(field_value, str) and field_value.strip(BLANKS):
            new[column] = field_value
    for column in OBJECTS:
        document = json.loads(row[column] or "null")
        if isinstance(document, dict):
            kept = {k: v for k, v in document.items() if k not in FORBIDDEN and not k.startswith("effective_")}
            new[column] = json.dumps(kept)
        elif row[column] == "null" and column in ("content", "identifiers"):
            new[column] = None
    return None if faults(new) else new


def surplus(rows: Iterable[Row], keep: str) -> set[str]:
    """Return the ids of the duplicates that do not stay: of two at the same time, the first id in bytes stays."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[column] for column in KEY), []).append(row)
    sign = 1 if keep == "earliest" else -1
    ordered = (
        sorted(group, key=lambda row: (sign * _moment(row)[0], _moment(row)[1])) for group in groups.values()
    )
    return {row["id"] for group in ordered for row in group[1:]}


def links(rows: Iterable[Row]) -> dict[str, str | None]:
    """Return what each row supersedes: the one before it of the same document, by time, then by id in bytes."""
    before: dict[tuple[str, ...], str] = {}
    found: dict[str, str | None] = {}
    for row in sorted(rows, key=_moment):
        document = tuple(row[column] for column in DOCUMENT)
        found[row["id"]] = before.get(document)
        before[document] = row["id"]
    return found


def _moment(row: Row) -> tuple[int, bytes]:
    return INSTANTS[row["retrieved_at"]], row["id"].encode()


def plain(row: Row) -> Row:
    """Return a row without link and time, JSON as what it means."""
    left = {name: value for name, value in row.items() if name not in ("supersedes", "retrieved_at")}
    return {name: json.loads(value) if name in OBJECTS and value else value for name, value in left.items()}
