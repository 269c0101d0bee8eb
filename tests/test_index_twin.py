"""The statement that builds an index once more, under another name."""

from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Session
from aoc_migrate.database.targets import Target
from aoc_migrate.operations.index_twin import definition
from tests.conftest import Database


def test_a_twin_is_the_same_index_though_a_column_reads_like_sql(empty_database: Database) -> None:
    """Only the index gets another name, even if the name of a column reads like the statement."""
    empty_database.run('CREATE TABLE held (" INDEX mine ON " text); CREATE INDEX mine ON held (" INDEX mine ON ")')
    session = Session(Target("concelier", "", "public"), empty_database.connection, "test")

    empty_database.run(definition(session, Relation("public", "mine"), Relation("public", "twin")))

    built = "SELECT pg_get_indexdef(%s::regclass, 1, false)"
    assert empty_database.value(built, ["twin"]) == empty_database.value(built, ["mine"])
