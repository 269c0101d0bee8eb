"""How duplicates are found: by an index or by a scan, always the same groups, and never in more reads."""

import itertools
import random
from collections import defaultdict
from typing import Any

import pytest

from aoc_migrate.contract.v1 import VEX_RAW
from aoc_migrate.inspect.duplicates import duplicates_by_vendor, find
from tests.conftest import Database
from tests.helpers import counted, scans
from tests.test_scans import session_of

KEY = VEX_RAW.idempotency_key
INDEXES = {
    "none": "SELECT",
    "in order": "CREATE INDEX mine ON vex_raw (tenant, source_vendor, upstream_id, content_hash)",
    "in another order, and more": "CREATE INDEX mine ON vex_raw (content_hash, upstream_id, tenant, "
    "source_vendor, id)",
    "partial": f"CREATE INDEX mine ON vex_raw ({', '.join(KEY)}) WHERE id <> '1'",
    "in another collation": "CREATE INDEX mine ON vex_raw (tenant, source_vendor, upstream_id, content_hash "
    'COLLATE "C")',
    "unique, with more columns": f"CREATE UNIQUE INDEX mine ON vex_raw ({', '.join(KEY)}, id)",
}
READ_BY_INDEX = ("in order", "in another order, and more", "unique, with more columns")


def store(database: Database, rows: int, **values: str) -> dict[tuple[str, ...], list[str]]:
    """Store rows whose keys are drawn from few values and NULL; return the ids of each whole key."""
    chance = random.Random(7)
    groups = defaultdict(list)
    for n in range(rows):
        key = [chance.choice(["a", "b", "B", "ä", ""]) for _ in KEY]
        if n % 10 == 0:
            key[chance.randrange(4)] = None  # type: ignore[call-overload]
        id_ = f"{n:03}"
        database.add(id_, **dict(zip(KEY, key, strict=True)), retrieved_at=f"2025-01-01T00:00:{n % 60:02}Z")
        if None not in key:
            groups[tuple(key)].append((n % 60, id_))
    return {key: [id_ for _, id_ in sorted(ids)] for key, ids in groups.items()}


@pytest.mark.parametrize("index", INDEXES)
def test_every_index_finds_the_same_groups(index: str, excititor: Database) -> None:
    """With any index, groups, counts and rows without a key agree with a count by hand."""
    groups = {key: ids for key, ids in store(excititor, 400).items() if len(ids) > 1}
    excititor.run(INDEXES[index])
    excititor.run("VACUUM ANALYZE vex_raw")
    before = scans(excititor)

    with session_of(excititor) as session:
        nulls, found = find(session, VEX_RAW, 1000)
        vendors = duplicates_by_vendor(session, VEX_RAW)

    assert nulls == 40
    assert {tuple(row[c] for c in KEY): (row["n"], row["ids"]) for row in found} == {
        key: (len(ids), ids[:20]) for key, ids in groups.items()
    }
    assert [tuple(-row["n"] if c == "n" else row[c].encode() for c in ("n", *KEY)) for row in found] == sorted(
        (-len(ids), *(part.encode() for part in key)) for key, ids in groups.items()
    )
    assert {(row["groups"], row["rows"]) for row in found} == {(len(groups), sum(map(len, groups.values())))}
    by_vendor = {v: [len(i) for k, i in groups.items() if k[1] == v] for v in {k[1] for k in groups}}
    assert {(v.source_vendor, v.groups, v.rows) for v in vendors} == {
        (vendor, len(sizes), sum(sizes)) for vendor, sizes in by_vendor.items()
    }
    assert scans(excititor) - before == 2 + (0 if index in READ_BY_INDEX else 2)


def counts(database: Database) -> tuple[int, int]:
    """Return how often the table, and the index of the test, was read."""
    mine = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'mine'"
    return scans(database), counted(database, mine)


LOOKS: dict[str, tuple[str, tuple[int, int]]] = {
    "no index": ("SELECT", (1, 0)),
    "an index": ("CREATE INDEX mine ON vex_raw (tenant, source_vendor, upstream_id, content_hash)", (0, 1)),
    "not vacuumed": ("UPDATE vex_raw SET tenant = tenant; {an index}", (1, 0)),
    "a unique index": ("{required}; CREATE UNIQUE INDEX mine ON vex_raw (content_hash, upstream_id)", (0, 0)),
    "a unique index, keys may be NULL": (
        "CREATE UNIQUE INDEX mine ON vex_raw (content_hash, upstream_id)",
        (1, 0),
    ),
    "a constraint that may be deferred": ("ALTER TABLE vex_raw ADD UNIQUE (content_hash) DEFERRABLE", (1, 0)),
}


@pytest.mark.parametrize("case", LOOKS)
def test_one_read_proves_that_there_are_no_duplicates(case: str, excititor: Database) -> None:
    """One read of table or index proves that there are no duplicates; a unique index proves it without a read."""
    for n, tenant in itertools.product(range(10), "ab"):
        excititor.add(f"{tenant}{n}", tenant=tenant, upstream_id=tenant)
    required = ", ".join(f"ALTER {column} SET NOT NULL" for column in KEY)
    words: dict[str, Any] = {"required": f"ALTER TABLE vex_raw {required}", "an index": LOOKS["an index"][0]}
    change, expected = LOOKS[case]
    excititor.run("VACUUM ANALYZE vex_raw")
    excititor.run(change.format_map(words))
    before = counts(excititor)

    with session_of(excititor) as session:
        assert find(session, VEX_RAW, 10) == (0, [])

    assert tuple(b - a for a, b in zip(before, counts(excititor), strict=True)) == expected
