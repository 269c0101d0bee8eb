"""The digest of a table changes with its rows, and with nothing else."""

import pytest

from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.session import connect
from aoc_migrate.database.targets import Target
from aoc_migrate.inspect.row_digest import Digest, digest, rows_that_differ, shape
from tests.conftest import Database
from tests.helpers import fill

LONG = "SELECT string_agg(md5(n::text), '') FROM generate_series(1, 400) AS n"
CHANGES = {
    "UPDATE vex_raw SET content = '{\"raw\": 2}' WHERE id = 'r5'": {"changed": 1},
    "UPDATE vex_raw SET tenant = NULL WHERE id IN ('r5', 'r6')": {"changed": 2},
    "UPDATE vex_raw SET tenant = '' WHERE id = 'r5'": {"changed": 1},
    "UPDATE vex_raw SET retrieved_at = retrieved_at + interval '1 microsecond' WHERE id = 'r5'": {"changed": 1},
    "DELETE FROM vex_raw WHERE id IN ('r5', 'r6')": {"lacking": 2},
    "INSERT INTO vex_raw (id) VALUES ('new')": {"added": 1},
    "UPDATE vex_raw SET id = 'other' WHERE id = 'r5'": {"lacking": 1, "added": 1},
    "UPDATE vex_raw a SET tenant = b.upstream_id, upstream_id = b.tenant FROM vex_raw b WHERE a.id = b.id": {
        "changed": 300
    },
    "TRUNCATE vex_raw": {"lacking": 300},
    "DROP TABLE vex_raw": {"lacking": 300},
}
SAME = [
    "UPDATE vex_raw SET tenant = tenant",
    "CREATE INDEX ON vex_raw (tenant); CLUSTER vex_raw USING vex_raw_pkey; VACUUM FULL vex_raw",
    "ALTER TABLE vex_raw ADD COLUMN more text DEFAULT 'more'",
    "ALTER TABLE vex_raw ALTER content SET STORAGE EXTERNAL; UPDATE vex_raw SET content = content || '{}'",
    "ALTER TABLE vex_raw ALTER content SET COMPRESSION pglz; UPDATE vex_raw SET content = content || '{}'",
    "CREATE TABLE t (LIKE vex_raw INCLUDING ALL); INSERT INTO t SELECT * FROM vex_raw ORDER BY id DESC; "
    "DROP TABLE vex_raw; ALTER TABLE t RENAME TO vex_raw",
    "ALTER DATABASE {database} SET DateStyle = 'German'; ALTER DATABASE {database} SET TimeZone = 'Asia/Tokyo'",
]


@pytest.fixture
def documents(excititor: Database) -> Database:
    """300 rows, one of which has a document that PostgreSQL stores apart."""
    fill(excititor, 300)
    excititor.run(f"UPDATE vex_raw SET content = jsonb_build_object('raw', ({LONG})) WHERE id = 'r5'")
    return excititor


def read(database: Database, known: Digest | None = None) -> Digest:
    """Return the digest of the raw table, by its own columns or by those that are known."""
    with connect(Target("excititor", database.url), "test", Limits(), Flags()) as session:
        found = known or shape(session, "vex_raw")
        assert found
        return digest(session, "vex_raw", found)


@pytest.mark.parametrize("statement", CHANGES)
def test_a_changed_row_changes_it(statement: str, documents: Database) -> None:
    """Rows that are lacking, added or changed are counted; changed rows in one bucket count once."""
    before = read(documents)

    documents.run(statement)

    found, expected = rows_that_differ(before, read(documents, before)), CHANGES[statement]
    assert found.keys() == expected.keys()
    assert all(0.9 * expected[change] <= count <= expected[change] for change, count in found.items())
    assert before.rows == 300


@pytest.mark.parametrize("statements", SAME)
def test_nothing_else_changes_it(statements: str, documents: Database) -> None:
    """Row versions, their order, storage, compression, new columns and settings make no difference."""
    before = read(documents)

    for statement in statements.replace("{database}", documents.connection.info.dbname).split("; "):
        documents.run(statement)

    assert rows_that_differ(before, read(documents, before)) == {}


def test_a_table_without_a_key_has_a_digest(documents: Database) -> None:
    """Without a primary key, the whole row chooses the bucket; a changed row is then one lacking and one added."""
    documents.run("ALTER TABLE vex_raw DROP CONSTRAINT vex_raw_pkey")
    before = read(documents)

    documents.run("UPDATE vex_raw SET tenant = 'other' WHERE id = 'r9'")

    assert rows_that_differ(before, read(documents, before)) == {"lacking": 1, "added": 1}
