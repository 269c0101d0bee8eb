"""A table joins a cluster, leaves it, or was distributed with a column that allows NULL: nothing is lost."""

import pytest

from tests.citus.clusters import Cluster
from tests.citus.test_citus_lifecycle import fill, looks
from tests.conftest import Aoc, Database
from tests.helpers import dump

LINKS = "SELECT count(*) FROM advisory_raw WHERE supersedes IS NOT NULL"
DISTRIBUTE = """ALTER TABLE advisory_raw DROP CONSTRAINT advisory_raw_pkey;
ALTER TABLE advisory_raw ADD PRIMARY KEY (tenant, id)"""


def plain(database: Database) -> None:
    """Make the raw table a plain table again, which Citus does not manage."""
    database.run("SELECT undistribute_table('advisory_raw')")
    database.run("ALTER TABLE advisory_raw DROP CONSTRAINT advisory_raw_pkey, ADD PRIMARY KEY (id)")


@pytest.mark.parametrize("way", ["joins", "leaves"])
def test_links_are_set_back_after_the_table_moved(
    way: str, distributed: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """Links written before a table is distributed are set back after it was, and the other way round."""
    fill(distributed)
    if way == "joins":
        plain(distributed)
    rows = dump(distributed)
    up = aoc.json("upgrade", "concelier", "concelier_0006", **retrofit)
    assert (up.exit_code, distributed.value(LINKS)) == (0, 24), (up.report["findings"], up.err)
    if way == "joins":
        distributed.run(DISTRIBUTE)
        distributed.run("SELECT create_distributed_table('advisory_raw', 'tenant')")
    else:
        plain(distributed)

    down = aoc.json("downgrade", "concelier", "base")

    assert down.exit_code == 0, (down.report["findings"], down.err)
    assert dump(distributed) == rows


def test_the_column_of_the_distribution_stays_not_null(
    distributed: Database, cluster: Cluster, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """Citus drops no NOT NULL of the column that it distributes by: the downgrade leaves it, and only it."""
    distributed.run("SELECT undistribute_table('advisory_raw')")
    distributed.run("ALTER TABLE advisory_raw DROP CONSTRAINT advisory_raw_pkey, ALTER tenant DROP NOT NULL")
    distributed.run("CREATE UNIQUE INDEX raw_id ON advisory_raw (id, tenant)")
    distributed.run("SELECT create_distributed_table('advisory_raw', 'tenant')")
    fill(distributed)
    before = looks(cluster, distributed)

    for command in ("upgrade concelier", "downgrade concelier base"):
        ran = aoc.json(*command.split(), **retrofit)
        assert ran.exit_code == 0, (ran.report["findings"], ran.err)

    changed = [
        line for new, old in zip(looks(cluster, distributed), before, strict=True) for line in {*new} - {*old}
    ]
    assert {line.partition("|")[0].split(".")[-1].strip() for line in changed} == {"tenant"}
    assert all(line.startswith("column: public.advisory_raw") for line in changed)
