"""A partition's own NOT NULL, and the keys that need it, on the way down."""

import pytest

from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint
from tests.interchange import empty_copy, program
from tests.partitions import loosen
from tests.postgres_versions import PARTITIONS_KEEP_NOT_NULL, has

pytestmark = pytest.mark.every_postgres

A = "CREATE TABLE vex_a PARTITION OF vex_raw FOR VALUES IN ('a');"
OWN_KEY = "ALTER TABLE vex_a ADD PRIMARY KEY (tenant, id);"
KEY = "(tenant, source_vendor, upstream_id, content_hash)"
OWN = "ALTER TABLE vex_a ALTER upstream_id SET NOT NULL, ALTER source SET NOT NULL;"
NESTED = """
CREATE TABLE vex_a PARTITION OF vex_raw FOR VALUES IN ('a') PARTITION BY LIST (source_vendor);
ALTER TABLE vex_a ALTER upstream_id SET NOT NULL;
CREATE TABLE vex_a1 PARTITION OF vex_a FOR VALUES IN ('osv');
CREATE UNIQUE INDEX ri ON vex_a1 (id, upstream_id);
ALTER TABLE vex_a1 REPLICA IDENTITY USING INDEX ri;
"""


@pytest.fixture
def loose(excititor: Database, aoc: Aoc) -> Database:
    """Excititor's database, configured; each test chooses the partitions."""
    aoc.configure(excititor)
    return excititor


def test_a_key_that_no_rollback_could_pass_is_found_first(loose: Database, aoc: Aoc) -> None:
    """The audit names a partition's own key on a column that may be NULL; what it says to run is enough."""
    loosen(loose.connection, A)
    assert aoc("upgrade", "excititor_0001").exit_code == 0
    loose.run(OWN_KEY)
    before = fingerprint(loose.connection)
    if has(loose.connection, PARTITIONS_KEEP_NOT_NULL):
        assert aoc("upgrade").exit_code == 0
    else:
        ran = aoc.json("upgrade")
        assert (ran.exit_code, ran.slugs("error"), ran.report["changed"]) == (1, ["partition-own-key"], False)
        loose.run(ran.finding("partition-own-key")["help"].removeprefix("Run: "))
        before = fingerprint(loose.connection)
        assert aoc("upgrade").exit_code == 0

    assert aoc("downgrade", "excititor_0001").exit_code == 0
    assert fingerprint(loose.connection) == before


@pytest.mark.parametrize("way", [("constraints", "excititor", "--remove"), ("downgrade", "excititor", "base")])
def test_a_key_made_since_is_found_before_the_rollback(way: tuple[str, ...], loose: Database, aoc: Aoc) -> None:
    """A key over a NOT NULL that the partition had does not stop a rollback half way."""
    loosen(loose.connection, A + "ALTER TABLE vex_a ALTER tenant SET NOT NULL;")
    assert aoc("upgrade").exit_code == 0
    loose.run(OWN_KEY)

    ran = aoc.json(*way)

    if has(loose.connection, PARTITIONS_KEEP_NOT_NULL):
        assert ran.exit_code == 0
        return
    assert (ran.exit_code, set(ran.slugs("error")), ran.report["changed"]) == (1, {"still-used"}, False)
    loose.run("ALTER TABLE vex_a DROP CONSTRAINT vex_a_pkey")
    assert aoc(*way).exit_code == 0


def test_an_identity_below_a_partitions_own_not_null_stays(loose: Database, aoc: Aoc) -> None:
    """The replica identity of a leaf over the NOT NULL of the partition above it stops no downgrade, and stays."""
    loosen(loose.connection, NESTED, "id, tenant, source_vendor")
    assert aoc("upgrade", "excititor_0001").exit_code == 0
    before = fingerprint(loose.connection)
    assert aoc("upgrade").exit_code == 0

    ran = aoc.json("downgrade", "excititor_0001")

    assert (ran.exit_code, ran.slugs("error")) == (0, [])
    assert fingerprint(loose.connection) == before


@pytest.mark.parametrize("moved", ["attached again", "restored"])
def test_a_partitions_own_not_null_outlives_another_attach(moved: str, loose: Database, aoc: Aoc) -> None:
    """A partition's own NOT NULL stays on the way down, though it was attached again since, or restored."""
    loosen(loose.connection, A + OWN)
    assert aoc("upgrade", "excititor_0001").exit_code == 0
    before = fingerprint(loose.connection)
    assert aoc("upgrade").exit_code == 0
    with empty_copy(loose) as copy:
        if moved == "restored":
            program(["psql", copy.url, "-Xq", "-v", "ON_ERROR_STOP=1"], program(["pg_dump", loose.url]))
            loose = Database(copy.connection, loose.table, loose.target)
            aoc.configure(loose)
        else:
            loose.run("ALTER TABLE vex_raw DETACH PARTITION vex_a")
            loose.run("ALTER TABLE vex_raw ATTACH PARTITION vex_a FOR VALUES IN ('a')")

        assert aoc("downgrade", "excititor_0001").exit_code == 0

        assert fingerprint(loose.connection) == before


def test_what_a_partition_had_is_found_by_another_name(loose: Database, aoc: Aoc) -> None:
    """A partition keeps its index and its NOT NULL though both were renamed since, and another has their names."""
    loosen(loose.connection, A + OWN + f"CREATE UNIQUE INDEX own_key ON vex_a {KEY};")
    assert aoc("upgrade", "excititor_0001").exit_code == 0
    before = fingerprint(loose.connection)
    assert aoc("upgrade").exit_code == 0
    loose.run("ALTER TABLE vex_a RENAME TO vex_old; ALTER INDEX own_key RENAME TO old_key")
    loose.run("CREATE TABLE vex_a PARTITION OF vex_raw FOR VALUES IN ('b')")

    assert aoc("downgrade", "excititor_0001").exit_code == 0

    loose.add("1", tenant="b", upstream_id=None, source=None)
    loose.run("DROP TABLE vex_a; ALTER TABLE vex_old RENAME TO vex_a; ALTER INDEX old_key RENAME TO own_key")
    assert fingerprint(loose.connection) == before


def test_an_index_that_was_rebuilt_is_found_by_its_name(loose: Database, aoc: Aoc) -> None:
    """REINDEX CONCURRENTLY of a partition's own index, which makes another one of that name, does not lose it."""
    loosen(loose.connection, A + f"CREATE UNIQUE INDEX own_key ON vex_a {KEY};")
    assert aoc("upgrade").exit_code == 0
    loose.run("REINDEX INDEX CONCURRENTLY own_key")

    assert aoc("downgrade", "base").exit_code == 0

    assert loose.value("SELECT to_regclass('own_key') IS NOT NULL")
