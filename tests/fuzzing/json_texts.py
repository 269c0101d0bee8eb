"""Rows as hypothesis draws them: JSON of every type in every column, any text that a key can be, any time."""

import json
from typing import Any

from hypothesis import strategies as st

from tests.adversary import BLANKS, FORBIDDEN, GOOD, KEYS, MOST, MULTIBYTE, OBJECTS, TEXTS

ANY = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
NAMES = (
    st.sampled_from(KEYS)
    | st.text(ANY, max_size=8)
    | st.sampled_from(FORBIDDEN).flatmap(
        lambda key: st.sampled_from([key, key.upper(), f"{key}_", f" {key}", key[:-1], f"effective_{key}"])
    )
)
NUMBERS = (
    st.integers(-(10**40), 10**40).map(str)
    | st.floats(allow_nan=False, allow_infinity=False).map(json.dumps)
    | st.sampled_from(["-0", "0.0", "1e308", "-1E-308", "1e400", "12345678901234567890.5"])
)


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=len(text) % 2 == 0)


def _members(members: list[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{_string(key)}: {value}" for key, value in members) + "}"


def _nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    lists = st.lists(inner, max_size=4).map(lambda values: f"[{' , '.join(values)}]")
    return lists | st.lists(st.tuples(NAMES, inner), max_size=5).map(_members)


SCALARS = st.sampled_from(["null", "true", "false"]) | NUMBERS | NAMES.map(_string)
JSON = st.recursive(SCALARS, _nested, max_leaves=12)
"""Any JSON value as text; an object may repeat a key."""
ENVELOPES = st.none() | JSON | st.lists(st.tuples(NAMES, JSON), max_size=4).map(_members)
KEY_TEXTS = (
    st.none()
    | st.text(BLANKS, max_size=4)
    | st.tuples(st.text(BLANKS, max_size=2), ANY, st.text(BLANKS, max_size=2)).map("".join)
    | st.tuples(st.sampled_from(["x", "~", *MULTIBYTE]), st.sampled_from([1, 2, 5]), st.integers(-60, 10)).map(
        lambda drawn: drawn[0] * (MOST // drawn[1] // len(drawn[0].encode()) + drawn[2])
    )
    | st.text(ANY, max_size=12)
)
TIMES = st.sampled_from(
    [
        *(
            "2025-01-01T00:00:00Z",
            "2025-01-01T01:00:00+01:00",
            "2025-01-01T00:00:00.000001Z",
            "2024-12-31T23:59:59Z",
        ),
        *("2025-02-28T12:00:00Z", "epoch", "4714-11-24 00:00:00+00 BC", "294276-12-31T23:59:59.999999Z"),
    ]
)
ENDLESS = st.sampled_from([None, "infinity", "-infinity"])


def rows() -> st.SearchStrategy[dict[str, Any]]:
    """Draw good rows of which some columns are replaced by something else of their type."""
    columns = dict.fromkeys(TEXTS, KEY_TEXTS) | dict.fromkeys(OBJECTS, ENVELOPES)
    changed = st.fixed_dictionaries({}, optional=columns | {"retrieved_at": TIMES | ENDLESS})
    return changed.map(lambda new: GOOD | {k: v for k, v in new.items() if k != "id" or v is not None})
