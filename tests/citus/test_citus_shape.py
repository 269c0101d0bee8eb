"""The id on a Citus cluster: which unique index the audit demands, and that an id still names one row."""

import pytest

from aoc_migrate.contract.v1 import ADVISORY_RAW
from aoc_migrate.database.session import Session
from aoc_migrate.database.targets import Target
from aoc_migrate.inspect.partitioning import ambiguous_ids
from tests.conftest import Aoc, Database

KEYS = {
    "distributed": ("(tenant, id)", "(id, tenant)"),
    "partitioned": ("(tenant, id, source_vendor)", "(id, source_vendor, tenant)", "(id, tenant, source_vendor)"),
    "reference": ("(id)",),
    "local": ("(id)",),
}
SLUGS = {"partitioned": "partition-id-index"}


def test_the_id_has_an_index_that_citus_accepts(
    shaped: Database, request: pytest.FixtureRequest, aoc: Aoc
) -> None:
    """Without its unique index, each shape is refused; the help names one that Citus builds, and it suffices."""
    shape = request.node.callspec.params["shaped"]
    slug = SLUGS.get(shape, "primary-key-missing")

    assert aoc.json("audit", "concelier").slugs("error") == []
    shaped.run("ALTER TABLE advisory_raw DROP CONSTRAINT advisory_raw_pkey")
    ran = aoc.json("audit", "concelier")
    assert (ran.exit_code, ran.slugs("error")) == (1, [slug])
    shaped.run(ran.finding(slug)["help"].removeprefix("Run: ").partition(";")[0])

    assert aoc.json("audit", "concelier").slugs("error") == []
    for columns in KEYS[shape]:
        shaped.run("DROP INDEX advisory_raw_id_key")
        shaped.run(f"CREATE UNIQUE INDEX advisory_raw_id_key ON advisory_raw {columns}")
        assert aoc.json("audit", "concelier").slugs("error") == [], columns


def test_an_id_of_two_tenants_is_found(distributed: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """An id that two tenants use, which no index over shards can forbid, stops the audit and the upgrade."""
    distributed.add("shared", tenant="a")
    distributed.add("shared", tenant="b")
    distributed.add("own", tenant="b", upstream_id="CVE-2")

    found = [aoc.json(command, "concelier", **retrofit) for command in ("audit", "upgrade")]
    session = Session(Target("concelier", "", "public"), distributed.connection, "test")
    (since,) = ambiguous_ids(session, ADVISORY_RAW, 200, since=3600)

    for ran in found:
        assert (ran.exit_code, ran.slugs("error")) == (1, ["ambiguous-id"])
        assert ran.finding("ambiguous-id")["sample"] == [{"id": "shared", "rows": 2}]
        assert distributed.rows(ran.finding("ambiguous-id")["statement"]) == [("shared", 2)]
    assert not any(ran.report["changed"] for ran in found)
    assert (since.count, since.rows) == (1, 2)
