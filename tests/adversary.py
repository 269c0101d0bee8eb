"""Rows that try to slip through the contract, and an independent verdict on each.

Nothing here comes from the contract's code: the lists are written again, so that a mistake on either side shows.
"""

import json
import random
from collections.abc import Callable
from typing import Any

Row = dict[str, Any]
REQUIRED = [
    "tenant",
    "source_vendor",
    "upstream_id",
    "content_hash",
    "retrieved_at",
    "source",
    "upstream",
    "linkset",
]
TEXTS = ["id", "tenant", "source_vendor", "upstream_id", "content_hash"]
OBJECTS = ["source", "upstream", "linkset", "content", "identifiers"]
FORBIDDEN = [
    "severity",
    "cvss",
    "cvss_vector",
    "effective_status",
    "effective_range",
    "merged_from",
    "consensus_provider",
    "reachability",
    "asset_criticality",
    "risk_score",
]
BLANKS = (
    "\u0009\u000a\u000b\u000c\u000d\u0020\u0085\u00a0\u1680"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
MOST = 2640


def keys_ok(row: Row) -> bool:
    """Return whether the keys are neither blank nor too long for an index, and the time is finite; NULL passes."""
    if any(row[name] is not None and not row[name].strip(BLANKS) for name in TEXTS):
        return False
    if row["retrieved_at"] in ("infinity", "-infinity"):
        return False
    shared = [row[name] for name in ("tenant", "source_vendor", "upstream_id")]
    last = [len(row[name].encode()) for name in ("id", "content_hash") if row[name] is not None]
    if None in shared or not last:
        return True
    return sum(len(text.encode()) for text in shared) + max(last) <= MOST


def object_ok(text: str | None, *, required: bool) -> bool:
    """Return whether a JSON text is an object without a forbidden key at its top level."""
    if text is None:
        return not required
    document = json.loads(text)
    return isinstance(document, dict) and not any(
        key in FORBIDDEN or key.startswith("effective_") for key in document
    )


def faults(row: Row) -> set[str]:
    """Return the rules that a row breaks (domain.md, rules 1 and 2)."""
    found = {f"no {column}" for column in REQUIRED if row[column] is None}
    if not keys_ok(row):
        found.add("keys")
    small = [object_ok(row[name], required=name != "identifiers") for name in OBJECTS if name != "content"]
    if not all(small):
        found.add("objects")
    if not object_ok(row["content"], required=False):
        found.add("content")
    return found


GOOD: Row = {
    **{column: f"a {column}" for column in TEXTS},
    **dict.fromkeys(OBJECTS, "{}"),
    "retrieved_at": "2025-01-01T00:00:00Z",
}
NOT_BLANK = "\x00\x1c\x1d\x1e\x1f\x7f\u200b\u200c\u2060\ufeff\u180e\u00ad\u0301"[1:]
MULTIBYTE = ["é", "ß", "中", "😀", "\u0301", "\u1680x", "\u2028y", "\U0010ffff", "\ue000", "\u0130", "\u0131"]
KEYS = [
    *FORBIDDEN,
    *("effective_", "effective_x", "effective_\u0301", "effective_\n", "effective", "Effective_x", "effective-x"),
    *(
        "Severity",
        "SEVERITY",
        "severity ",
        " severity",
        "severity\t",
        "sev\u0435rity",
        "cvss_",
        "cvss\u0301",
        "risk",
    ),
    *("vendor", "upstream_id", "aliases", "format", "raw", "cve", "signature", "keyvalue", "$", "a.b", ""),
    *("@", '"', "\\", "'", "{}", "ключ", "鍵", "\U0001f511", "%", "*", "key", "value", "id"),
]
Draw = Callable[[random.Random], Any]


def text(by: random.Random) -> str | None:
    """Draw a key: blank, nearly blank, of any first byte, or about as long as an index can hold."""
    blanks = "".join(by.choices(BLANKS, k=by.randint(0, 4)))
    other = by.choice(["x", "~", "!", "}", *NOT_BLANK, *MULTIBYTE, chr(by.randint(1, 127))])
    long = by.choice(["x", "~", " ", *MULTIBYTE])
    length = by.choice([MOST, MOST // 2, MOST // 5]) + by.randint(-30, 10)
    any_three = [by.choice([by.randint(1, 0xD7FF), by.randint(0xE000, 0x10FFFF)]) for _ in range(3)]
    drawn: list[str | None] = [
        None,
        blanks,
        by.choice(BLANKS) * by.randint(1, 3),
        blanks + other + "".join(by.choices(BLANKS, k=by.randint(0, 2))),
        chr(by.randint(1, 127)) + by.choice(["", "a", *MULTIBYTE]),
        long * (length // len(long.encode())),
        "".join(map(chr, any_three)),
        by.choice(["a", "zz", "~x", "}", "!"]) + other,
    ]
    return by.choice(drawn)


def value(by: random.Random, depth: int = 0) -> Any:
    """Draw a JSON value of any kind; forbidden keys are legal where they are nested."""
    scalars = [None, True, False, 0, -1.5, 10**30, "", "severity", "effective_x", by.choice(KEYS)]
    if depth > 2 or by.random() < 0.5:
        return by.choice(scalars)
    if by.random() < 0.5:
        return [value(by, depth + 1) for _ in range(by.randint(0, 3))]
    return {by.choice(KEYS): value(by, depth + 1) for _ in range(by.randint(0, 3))}


def document(by: random.Random) -> str | None:
    """Draw a JSON column as text: SQL NULL, any value, arrays that name forbidden keys, objects of many keys."""
    kind = by.randrange(400) % 20
    if kind == 0:
        return None
    if kind < 4:
        return json.dumps(value(by), ensure_ascii=by.random() < 0.5)
    if kind == 4:
        keys = by.choices(KEYS, k=3)
        return json.dumps(by.choice([keys, [{key: 1} for key in keys], [keys], [], keys[0], None, {}]))
    if kind == 5:
        first, second = by.choice(KEYS), by.choice(["severity", "raw", "vendor", "ok"])
        return f"{{{json.dumps(first)}: 1, {json.dumps(second)}: 2, {json.dumps(first)}: 3}}"
    harmless = by.sample(["vendor", "raw", "aliases", "cve", "format", "signature", "x", "ключ"], by.randint(0, 4))
    found = {key: value(by, 1) for key in harmless}
    if by.random() < 0.3:
        found[by.choice(KEYS)] = value(by, 1)
    return json.dumps(found, ensure_ascii=by.random() < 0.5)


def row(by: random.Random, most_changed: int = 10) -> Row:
    """Draw a row: a good one with some columns changed, from none to all."""
    drawn = dict(GOOD)
    for name in by.sample(list(GOOD), by.choice([0, 1, 1, 2, most_changed])):
        times = [None, "infinity", "-infinity", "4713-01-01 00:00:00+00 BC", "294276-12-31T00:00:00Z", "epoch"]
        drawn[name] = text(by) if name in TEXTS else document(by) if name in OBJECTS else by.choice(times)
    drawn["id"] = GOOD["id"] if drawn["id"] is None else drawn["id"]
    return drawn


def corners() -> list[Row]:
    """Return what no draw may miss: each blank, each ASCII byte, each key in each column, each length."""
    singles = [*BLANKS, *NOT_BLANK, *map(chr, range(1, 128)), BLANKS, f"{BLANKS}x{BLANKS}", "~", "~~", " ~", ""]
    rows = [GOOD | {name: single} for single in singles for name in TEXTS]
    rows += [GOOD | dict.fromkeys(TEXTS, single) for single in singles]
    rows += [GOOD | {name: json.dumps({key: 1})} for key in KEYS for name in OBJECTS]
    rows += [GOOD | {name: json.dumps({"a": {key: [{key: 1}]}})} for key in KEYS for name in OBJECTS]
    many = {f"key {n}": n for n in range(10_000)}
    rows += [GOOD | {name: json.dumps(many | last)} for name in OBJECTS for last in ({}, {"risk_score": 0})]
    rows += [GOOD | {name: None for name in GOOD if name not in ("id", *kept)} for kept in ([], TEXTS, OBJECTS)]
    for letter in ("x", "é", "中", "😀"):
        for length in range(MOST - 6, MOST + 7):
            size = len(letter.encode())
            padded = letter * (length // size) + "y" * (length % size)
            short = dict.fromkeys(("id", "tenant", "source_vendor", "upstream_id", "content_hash"), "z")
            rows += [GOOD | short | {name: padded} for name in TEXTS]
            rows += [GOOD | short | {name: padded, "tenant": None} for name in ("id", "upstream_id")]
    return rows
