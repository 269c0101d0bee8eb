"""Our search path on the workers of a Citus cluster.

The coordinator sends a worker the functions of pg_catalog without their schema, and the worker finds them with the
path of the role: an overload that another role planted in its schema could run there. Citus passes on only SET
LOCAL, so that each of our statements needs a transaction.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from aoc_migrate.database.pinned_settings import SEARCH_PATH

PIN = f"SET LOCAL citus.propagate_set_commands TO 'local'; SET LOCAL search_path = {SEARCH_PATH}"


@contextmanager
def begun(
    connection: psycopg.Connection[Any], on_cluster: bool, *, force_rollback: bool = False
) -> Iterator[None]:
    """Run the block in a transaction; ``on_cluster``, workers use our path in it."""
    with connection.transaction(force_rollback=force_rollback):
        if on_cluster:
            connection.execute(PIN.encode())
        yield


@contextmanager
def lone(connection: psycopg.Connection[Any], sql: str, on_cluster: bool) -> Iterator[None]:
    """Run the block, which sends ``sql``, if any; ``on_cluster``, in such a transaction, unless one is open.

    CONCURRENTLY forbids one. An index build calls nothing by a name that a worker has to find.
    """
    idle = connection.info.transaction_status == TransactionStatus.IDLE
    needed = on_cluster and idle and sql and "CONCURRENTLY" not in sql
    with begun(connection, on_cluster) if needed else nullcontext():
        yield
