"""Chains on a Citus cluster: every wrong link is found and has its kind, on whatever shards the rows are."""

import random
from dataclasses import replace

import pytest

from aoc_migrate.contract.v1 import ADVISORY_RAW
from aoc_migrate.database.session import Session
from aoc_migrate.inspect import chain_links
from aoc_migrate.inspect.chain_links import count_wrong, inspect_chain, verify_chain
from aoc_migrate.inspect.chain_scope import Scope
from aoc_migrate.report.model import Finding
from tests.conftest import Database
from tests.test_chain_kinds import Revision, kind, world
from tests.test_scans import session_of

LATE = "2025-06-01T00:00:00Z"


def verified(session: Session, scope: Scope = Scope()) -> list[Finding]:  # noqa: B008
    """Return what verify finds."""
    return verify_chain(session, ADVISORY_RAW, LATE, 1000, scope)[0]


def inspected(session: Session) -> list[Finding]:
    """Return what chain finds."""
    return list(inspect_chain(session, ADVISORY_RAW, LATE, 1000))


def store(database: Database, worlds: int) -> dict[str, str]:
    """Store random graphs, each of its own tenant, some with links to others; return the kinds of wrong links."""
    chance, rows, tenants = random.Random(0), dict[str, Revision](), dict[str, str]()
    for n in range(worlds):
        graph = world(chance, f"w{n}")
        if rows and n % 3 == 0:
            name = chance.choice(list(graph))
            graph[name] = replace(graph[name], link=chance.choice(list(rows)))
        rows |= graph
        tenants |= dict.fromkeys(graph, f"tenant {n}")
    for id_, row in rows.items():
        values = {"tenant": tenants[id_], "upstream_id": row.document, "created_at": "2025-01-01T00:00:00Z"}
        at = f"2025-01-01T00:00:{row.second:02}Z"
        database.add(id_, retrieved_at=at, supersedes=row.link, **values)
    return {id_: found for id_ in rows if (found := kind(rows, id_))}


def test_kinds_agree_with_the_oracle(shaped: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every wrong link of random graphs has the kind that following all links finds, few or many."""
    expected = store(shaped, 12)

    with session_of(shaped) as session:
        found = verified(session) + inspected(session)
        monkeypatch.setattr(chain_links, "MOST_BY_ID", 5)
        found += verified(session) + inspected(session)
        count = count_wrong(session, ADVISORY_RAW)

    assert [{row["id"]: row["kind"] for row in finding.sample} for finding in found] == [expected] * 4
    assert [finding.count for finding in found] == [count] * 4 == [len(expected)] * 4
    assert {row[0] for row in shaped.rows(found[0].statement)} == set(expected)
    assert {"cycle", "cross-group", "fork", "out of order", "dangling"} <= set(expected.values())


def test_a_late_revision_is_only_late(shaped: Database) -> None:
    """A revision that was stored late is a warning, in each tenant; the sample is in the order of the ids."""
    for tenant in "ab":
        for n in (1, 3, 2):
            link = {1: None, 3: f"{tenant}1", 2: None}[n]
            stored = "2025-07-01T00:00:00Z" if n == 2 else "2025-01-01T00:00:00Z"
            values = {"retrieved_at": f"2025-01-0{n}T00:00:00Z", "created_at": stored, "supersedes": link}
            shaped.add(f"{tenant}{n}", tenant=tenant, **values)

    with session_of(shaped) as session:
        (late,) = verified(session)
        (of_a,) = verified(session, Scope("a"))
        recent = verified(session, Scope(since=10.0))

    assert (late.slug, late.count, [row["id"] for row in late.sample]) == (
        "chain-late",
        4,
        ["a2", "a3", "b2", "b3"],
    )
    assert (of_a.count, recent) == (2, [])


def test_recent_documents_are_read_whole(shaped: Database) -> None:
    """With --since, a chain with a recent row is judged whole, in its tenant; facts and sample show it alone."""
    for tenant in ("a", "b"):
        shaped.add(f"{tenant}1", tenant=tenant, created_at="2025-01-01T00:00:00Z")
        shaped.add(
            f"{tenant}2",
            tenant=tenant,
            retrieved_at="2025-01-02T00:00:00Z",
            supersedes="nowhere",
            created_at="now" if tenant == "b" else "2025-01-01T00:00:00Z",
        )

    with session_of(shaped) as session:
        (finding,), facts = verify_chain(session, ADVISORY_RAW, None, 10, Scope(since=3600.0))

    assert [(row["id"], row["kind"]) for row in finding.sample] == [("b2", "dangling")]
    assert (facts.rows, facts.linked, [row.id for row in facts.chain_sample]) == (2, 1, ["b1", "b2"])
