"""A rehearsal and a verifier on a Citus cluster: a database of the same cluster is the copy."""

import re

from psycopg.types.json import Jsonb

from aoc_migrate.inspect.row_digest import digest, rows_that_differ, shape
from tests.conftest import Aoc, Database
from tests.helpers import fill
from tests.rehearsals import facts, rehearse
from tests.test_scans import session_of


def test_a_copy_on_the_cluster_is_rehearsed(distributed: Database, aoc: Aoc) -> None:
    """A distributed copy goes up and back: every object and row is what it was; the WAL is that of all nodes."""
    fill(distributed, 500)
    distributed.run("UPDATE advisory_raw SET linkset = %s", (Jsonb({"of": "a row" * 300}),))
    aoc.environment.clear()

    ran = rehearse(aoc, distributed, "--no-second-upgrade")

    found = facts(ran)
    assert (ran.exit_code, found["way_back"]) == (0, "exact"), (ran.report["findings"], ran.err)
    assert found["compared_rows"] >= 500
    (linking,) = [step for step in ran.report["steps"] if step["statement"] == "link rows of advisory_raw"]
    assert linking["wal_bytes"] > linking["rows"] * 1500


def test_the_digest_of_a_distributed_table_changes_with_its_rows(distributed: Database) -> None:
    """A changed, a lacking and an added row are found; shards return sums, and no row leaves them."""
    fill(distributed, 300)
    with session_of(distributed) as session:
        known = shape(session, "advisory_raw")
        assert known is not None
        before = digest(session, "advisory_raw", known)
        distributed.run("UPDATE advisory_raw SET content = '{}' WHERE id = 'r5'")
        distributed.run("DELETE FROM advisory_raw WHERE id = 'r6'")
        after = digest(session, "advisory_raw", known)

    assert (before.rows, rows_that_differ(before, after)) == (300, {"lacking": 1, "changed": 1})


def test_a_verifier_needs_no_more_than_elsewhere(
    distributed: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """A verifier made on the coordinator verifies on every shard; what Citus lets every role read is fine."""
    fill(distributed, 20)
    assert aoc("upgrade", "concelier", **retrofit).exit_code == 0
    role = f"verifier_{re.sub('[^a-z0-9_]', '_', distributed.connection.info.dbname)}"

    made = aoc.json("verifier", "create", "concelier", AOC_VERIFIER_USER=role)
    verified = aoc.json(
        "verify", "concelier", AOC_VERIFIER_USER=role, CONCELIER_DATABASE_URL=distributed.url_as(role)
    )
    dropped = aoc.json("verifier", "drop", "concelier", AOC_VERIFIER_USER=role)

    assert (made.exit_code, made.slugs()) == (0, []), made.report["findings"]
    assert (verified.exit_code, verified.slugs(), verified.report["facts"]["rows"]) == (0, [], 20), verified.out
    assert (dropped.exit_code, dropped.slugs()) == (0, [])
