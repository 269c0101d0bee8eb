"""The kinds of wrong links, compared with an oracle that follows every link in Python."""

import random
from dataclasses import dataclass

import pytest

from aoc_migrate.contract.v1 import VEX_RAW
from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.session import connect
from aoc_migrate.database.targets import Target
from aoc_migrate.inspect.chain_links import inspect_chain
from tests.conftest import Aoc, Database


@dataclass(frozen=True)
class Revision:
    """A row: its document, its place in the order of retrieval, its link."""

    document: str
    second: int
    link: str | None


def world(chance: random.Random, name: str) -> dict[str, Revision]:
    """Return revisions of two documents whose links are mostly right, and else anything."""
    rows: dict[str, Revision] = {}
    names = [f"{name}-{n}" for n in range(7)]
    for n, id_ in enumerate(names):
        document = f"{name} {'ab'[n % 7 > 3]}"
        before = [other for other in rows if rows[other].document == document]
        right = before[-1] if before else None
        rows[id_] = Revision(
            document, n, right if chance.random() < 0.4 else chance.choice([*names, None, "nowhere"])
        )
    return rows


def kind(rows: dict[str, Revision], id_: str) -> str | None:
    """Return what is wrong with a row's link, None where nothing is."""
    row = rows[id_]
    chain = sorted((r.second, i) for i, r in rows.items() if r.document == row.document)
    place = chain.index((row.second, id_))
    same = [r.link for i, r in rows.items() if r.document == row.document and i != id_]
    if row.link == (chain[place - 1][1] if place else None):
        return None
    if row.link is None:
        return "false head" if id_ in same else "missing link"
    if row.link not in rows:
        return "dangling"
    if rows[row.link].document != row.document:
        return "cross-group"
    if comes_back(rows, id_):
        return "cycle"
    return "fork" if row.link in same else "out of order"


def comes_back(rows: dict[str, Revision], id_: str) -> bool:
    """Follow the links from a row; return whether they lead to it."""
    at, seen = rows[id_].link, set[str]()
    while at in rows and at != id_ and at not in seen:
        seen.add(at)
        at = rows[at].link
    return at == id_


@pytest.mark.parametrize("seed", range(3))
def test_kinds_agree_with_the_oracle(seed: int, excititor: Database, aoc: Aoc) -> None:
    """Every wrong link of random graphs has the kind that following all links finds, across documents too."""
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0005").exit_code == 0
    chance = random.Random(seed)
    expected: dict[str, str] = {}
    for n in range(30):
        rows = world(chance, f"w{n}")
        for id_, row in rows.items():
            at = f"2025-01-01T00:00:{row.second:02}Z"
            excititor.add(id_, upstream_id=row.document, retrieved_at=at, supersedes=row.link)
            if found := kind(rows, id_):
                expected[id_] = found

    with connect(Target("excititor", excititor.url), "test", Limits(), Flags()) as session:
        (finding,) = inspect_chain(session, VEX_RAW, None, 1000)

    assert {row["id"]: row["kind"] for row in finding.sample} == expected
    assert {"cycle", "cross-group", "fork", "out of order"} <= set(expected.values())
