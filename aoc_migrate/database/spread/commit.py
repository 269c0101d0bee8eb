"""A transaction that writes to one shard and to a table of the coordinator commits as a whole, or not at all."""

from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Session


def commit_as_one(session: Session, table: str) -> None:
    """Let this transaction commit in two phases; Citus manages ``table``.

    If a transaction writes to a single shard, Citus commits there first, and on the coordinator afterwards: a
    crash between the two would lose what the coordinator has of it, such as the rows that we moved (Citus source,
    executor_util_tasks.c and transaction_management.c). COPY, even of no row, makes Citus prepare the shard's part
    first. It needs the right to INSERT.
    """
    with session.connection.cursor().copy(copy_nothing(session.schema[table]).encode()):
        pass


def copy_nothing(raw: Relation) -> str:
    """Return the statement to which no row is sent."""
    return f"COPY {raw} (id) FROM STDIN"
