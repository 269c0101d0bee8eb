"""What a partition had of its own comes back exactly when the partitioned table is downgraded."""

from collections.abc import Iterator

import pytest

from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint
from tests.partitions import pairs, partition

KEY = "(tenant, source_vendor, upstream_id, content_hash)"
INDEXES = f"""
ALTER TABLE vex_raw_a ALTER tenant SET NOT NULL, ALTER source_vendor SET NOT NULL, ALTER upstream_id SET NOT NULL,
  ALTER content_hash SET NOT NULL;
CREATE UNIQUE INDEX own ON vex_raw_a {KEY} WITH (fillfactor = 70, deduplicate_items = off) TABLESPACE "Fast & big";
CREATE INDEX own_chain ON cold.vex_raw_b (tenant, source_vendor, upstream_id, retrieved_at, id COLLATE "C");
ALTER TABLE vex_raw_a REPLICA IDENTITY USING INDEX own;
ALTER TABLE vex_raw_a CLUSTER ON own;
ALTER TABLE cold.vex_raw_b CLUSTER ON own_chain;
COMMENT ON INDEX own IS 'it''s the "identity" of 100 %';
ALTER TABLE vex_raw_rest ADD CONSTRAINT theirs UNIQUE {KEY};
COMMENT ON INDEX theirs IS 'of a constraint: it is not attached';
CREATE PUBLICATION parts FOR TABLE vex_raw_a;
"""
PUBLISHED = ("--accept", "published-table:vex_raw")


@pytest.fixture
def partitions_with_indexes(excititor: Database, aoc: Aoc) -> Iterator[Database]:
    """Excititor's database at 0001, whose partitions have indexes of their own with all that an index can have."""
    partition(excititor.connection, "vex_raw")
    excititor.run("SET allow_in_place_tablespaces = on")
    excititor.run("""CREATE TABLESPACE "Fast & big" LOCATION ''""")
    role = excititor.connection.info.user
    excititor.run(INDEXES)
    excititor.add("1", tenant="a")
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0001", *PUBLISHED).exit_code == 0
    excititor.run(f'ALTER ROLE {role} SET default_tablespace = "Fast & big"')
    yield excititor
    excititor.run(f"ALTER ROLE {role} RESET default_tablespace; DROP TABLE vex_raw CASCADE")
    for what in ("TABLE", "INDEX"):
        excititor.run(f'ALTER {what} ALL IN TABLESPACE "Fast & big" SET TABLESPACE pg_default')
    excititor.run('DROP TABLESPACE "Fast & big"')


def catalogs(database: Database) -> list[str]:
    """Return what both schemas of the partitions look like."""
    return [line for schema in ("public", "cold") for line in fingerprint(database.connection, schema)]


def test_a_partitions_own_index_comes_back_whole(partitions_with_indexes: Database, aoc: Aoc) -> None:
    """A partition's own index comes back with replica identity, CLUSTER mark, tablespace, options and comment."""
    before = catalogs(partitions_with_indexes)
    assert aoc("upgrade", *PUBLISHED).exit_code == 0
    attached = pairs(partitions_with_indexes.connection, "vex_raw_idempotency_v1")

    assert aoc("downgrade", "excititor_0001").exit_code == 0

    assert attached["vex_raw_a"] == "own"
    assert catalogs(partitions_with_indexes) == before
    partitions_with_indexes.run("UPDATE vex_raw_a SET content = NULL")
