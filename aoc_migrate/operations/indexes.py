"""Indexes, built and dropped CONCURRENTLY, with their leftovers."""

from collections.abc import Sequence

from aoc_migrate.contract.model import Index
from aoc_migrate.database.questions import index_is_invalid, index_is_ours
from aoc_migrate.database.state import recorded
from aoc_migrate.operations import partitioned_index
from aoc_migrate.operations.facts import forget, record
from aoc_migrate.operations.index_steps import build, drop, foreign, still_used
from aoc_migrate.operations.own_parts import leaf_indexes, recorded_in, was_own
from aoc_migrate.operations.registry import operation
from aoc_migrate.operations.step import Executor

NOT_FOUND = "NOT (value->>'index_found')::boolean"


@operation
def create_index_concurrently(
    run: Executor, name: str, table: str, columns: Sequence[str], revision: str, *, unique: bool = False
) -> None:
    """Build an index CONCURRENTLY. An INVALID leftover is dropped and rebuilt.

    ``columns`` are names, some with ``COLLATE "C"``. It waits for a build that still runs for a dead client. An
    index that was there before is recorded, so that the downgrade leaves it. Waiting for other transactions is
    bounded by ``limits.deadline``; building is not. Objects to another relation of that name (``foreign-object``).
    """
    raw, named, index = run.schema[table], run.schema[name], Index(name, tuple(columns), unique)
    objection = foreign(raw, named, index)
    online = run.on_partitions(raw)
    more = f", 'leaf_indexes', {leaf_indexes(raw)}{recorded_in(run.schema)}" if online else ""
    valid = f"SELECT FROM pg_index WHERE indexrelid = to_regclass({named.literal}) AND indisvalid"
    run.run(record(run.schema, revision, f"jsonb_build_object('index_found', EXISTS ({valid}){more})", objection))
    if online:
        partitioned_index.create(online, raw, index)
        return
    run.run(drop(raw, named, index_is_invalid(raw, named), objection))
    run.run(build(raw, named, index, objection))


@operation
def drop_index_concurrently(
    run: Executor, name: str, table: str, columns: Sequence[str], revision: str, *, unique: bool = False
) -> None:
    """Drop an index CONCURRENTLY, unless ``revision`` found it there, or it is another one of this name.

    Objects to a constraint or a replica identity that others have based on it since (``still-used``).
    """
    raw, named, index = run.schema[table], run.schema[name], Index(name, tuple(columns), unique)
    ours = recorded(run.schema, revision, NOT_FOUND)
    if online := run.on_partitions(raw):
        partitioned_index.drop(online, raw, index, revision)
    else:
        ours = f"{ours} AND {index_is_ours(raw, named, index)}"
        kept = was_own(run.schema, revision, "leaf_indexes", "(VALUES (relid))")
        run.run(drop(raw, named, ours, still_used(named, ours, kept)))
    run.run(forget(run.schema, revision))
