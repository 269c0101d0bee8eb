"""A raw table on a Citus cluster goes up, is proven, and comes back exactly as it was."""

from tests.citus.clusters import Cluster
from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint
from tests.helpers import dump


def fill(database: Database) -> None:
    """Store chains of three revisions of two documents each for several tenants."""
    for tenant in range(6):
        for document in range(2):
            for n in range(3):
                name = f"t{tenant}-{document}-{n}"
                upstream = {"tenant": f"tenant-{tenant}", "upstream_id": f"CVE-2025-000{document}"}
                database.add(name, retrieved_at=f"2025-01-0{n + 1}T00:00:00Z", **upstream)


def looks(cluster: Cluster, database: Database) -> list[list[str]]:
    """Return what each node has in its catalog: tables, shards, constraints, indexes and functions."""
    found = []
    with cluster.connected(database.connection.info.dbname) as nodes:
        for node in nodes:
            node.execute("SET citus.show_shards_for_app_name_prefixes = '*'")
            found.append(fingerprint(node))
    return found


def test_up_and_down(shaped: Database, cluster: Cluster, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """Every shape is upgraded and verified; a downgrade leaves rows, and the catalog of each node, as before."""
    fill(shaped)
    before, rows = looks(cluster, shaped), dump(shaped)

    for command in ("audit", "plan", "upgrade", "verify --probe", "status", "chain"):
        ran = aoc.json(*command.split(), "concelier", **retrofit)
        assert ran.exit_code == 0, (command, ran.report["findings"], ran.err)
    assert shaped.value("SELECT count(*) FROM advisory_raw WHERE supersedes IS NOT NULL") == 24
    ran = aoc.json("downgrade", "concelier", "base")

    assert ran.exit_code == 0, (ran.report["findings"], ran.err)
    assert looks(cluster, shaped) == before
    assert dump(shaped) == rows
