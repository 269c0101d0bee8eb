"""Which row replaces one that `repair` moves: the nearest superseded one that stays."""

import random
from typing import Any

from aoc_migrate.contract.v1 import VEX_RAW
from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.session import connect
from aoc_migrate.database.targets import Target
from aoc_migrate.quarantine.repair_rules import repair_work
from tests.conftest import Database

LOAD = (
    "INSERT INTO vex_raw (id, supersedes, tenant, source_vendor, upstream_id, content_hash, retrieved_at, source, "
    "upstream, linkset, content) SELECT id, link, CASE WHEN stays THEN 'default' END, 'osv', 'CVE-' || id, id, "
    "timestamptz '2025-01-01', '{}', '{}', '{}', '{}' FROM unnest(%s::text[], %s::text[], %s::bool[]) "
    "AS r (id, link, stays)"
)


def store(database: Database, links: dict[str, str | None], staying: set[str]) -> None:
    """Store rows with these links; those that do not stay have no tenant."""
    database.run("ALTER TABLE vex_raw ADD supersedes text")
    database.run(LOAD, [[*links], [*links.values()], [id_ in staying for id_ in links]])


def listed(database: Database, before: str = "", after: str = "") -> list[dict[str, Any]]:
    """Return the rows of the work list's query."""
    with connect(Target("excititor", database.url), "test", Limits(), Flags()) as session:
        return session.rows(f"{before} {repair_work(session, VEX_RAW, ('null-key',)).listed} {after}")


def met(plan: dict[str, Any]) -> int:
    """Return how many rows the walk of a plan met."""
    own = plan["Actual Rows"] if plan["Node Type"] == "Recursive Union" else 0
    return int(own) + sum(met(part) for part in plan.get("Plans", ()))


def test_the_walk_meets_each_row_once(excititor: Database) -> None:
    """Of a long chain that moves, each row is met once; rows without a link, and cycles, are not met at all."""
    links: dict[str, str | None] = {f"{n}": f"{n - 1}" for n in range(1, 200)}
    store(excititor, links | {"0": None, "alone": None, "a": "b", "b": "a", "self": "self"}, {"0"})

    ((plan,),) = [row.values() for row in listed(excititor, "EXPLAIN (ANALYZE, FORMAT JSON)")]

    assert met(plan[0]["Plan"]) == 199
    assert {row["kept"] for row in listed(excititor) if row["id"] in links} == {"0"}


def test_the_nearest_row_that_stays_replaces_a_moved_one(excititor: Database) -> None:
    """With branches, cycles and links to nothing, it is the one to which a walk row by row leads, or none."""
    chance = random.Random(7)
    ids = [f"{n}" for n in range(400)]
    links = {id_: chance.choice([*ids, *[None, "nobody"] * 20]) for id_ in ids}
    staying = {*chance.sample(ids, 150)}
    store(excititor, links, staying)

    def replacement(id_: str) -> str | None:
        seen = {id_}
        at = links[id_]
        while at in links and at not in staying and at not in seen:
            seen.add(at)
            at = links[at]
        return at if at is None or at not in seen else None

    moves = {row["id"]: row["kept"] for row in listed(excititor)}
    assert moves == {id_: replacement(id_) for id_ in ids if id_ not in staying}
    assert "nobody" in moves.values()
