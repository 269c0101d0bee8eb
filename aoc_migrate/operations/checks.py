"""CHECK constraints with their functions, and NOT NULL: guard new rows first, prove the old ones later."""

from collections.abc import Sequence
from dataclasses import replace

from aoc_migrate.contract.model import Contract
from aoc_migrate.database.questions import constraint_exists, constraint_is_ours, nullable
from aoc_migrate.database.state import recorded
from aoc_migrate.operations import partition_not_null, unproven_not_null
from aoc_migrate.operations.check_steps import (
    add,
    add_again,
    create_function,
    drop,
    drop_function,
    drop_not_null,
    foreign,
    grant_execute,
    not_null,
    nullable_before,
    validate,
)
from aoc_migrate.operations.facts import forget, record
from aoc_migrate.operations.own_parts import recorded_in, was_own
from aoc_migrate.operations.registry import operation
from aoc_migrate.operations.step import Executor, Printed


@operation
def add_checks(run: Executor, table: str, names: Sequence[str], contract: Contract, proof: str = "") -> None:
    """Add CHECKs of ``contract`` as NOT VALID, with the functions that they call: from now on they check new rows.

    ``proof``: the CHECK that proves NOT NULL of its columns; left out once they are. Each constraint's COMMENT
    carries its signature, so that any role can see whether it was changed. Objects to constraints and functions of
    these names that are not the contract's (``foreign-object``).
    """
    raw = run.schema[table]
    checks = [contract.check(name) for name in names]
    functions = [*(create_function(raw, c) for c in checks if c.function)]
    functions += [grant_execute(raw, c) for c in checks if c.function]
    added = [add(raw, check) for check in checks]
    if proof:
        check = contract.check(proof)
        added.append(add(raw, check, f" AND {nullable(raw, check.columns)}"))
    run.run(*functions, *added)


@operation
def drop_checks(run: Executor, table: str, names: Sequence[str], contract: Contract) -> None:
    """Drop CHECKs and their functions, except those that are not ours.

    A function that something else uses is kept, with the finding ``function-kept``.
    """
    raw = run.schema[table]
    checks = [contract.check(name) for name in names]
    run.run(*(drop(raw, check.name, constraint_is_ours(raw, check)) for check in checks))
    run.run(*(drop_function(raw, check) for check in checks if check.function))


@operation
def validate_checks(run: Executor, table: str, names: Sequence[str], proof: str = "") -> None:
    """Prove the existing rows for all CHECKs in one scan, under a lock that blocks no reader or writer."""
    raw = run.schema[table]
    if proof:
        run.run(validate(raw, [*names, proof], constraint_exists(raw, proof)))
    run.run(validate(raw, names, usual=not proof))


@operation
def set_not_null(run: Executor, table: str, contract: Contract, proof: str, revision: str) -> None:
    """Set NOT NULL without a scan, because ``proof`` is validated; then drop the proof.

    Objects to a constraint of this name that is not the contract's (``foreign-object``).

    Two statements: in one ALTER the drop would come first, and the scan would run under ACCESS EXCLUSIVE
    (`reference/limits.md` 1.5). Columns that were NOT NULL already are recorded for the downgrade, and left out. A
    NOT NULL that is NOT VALID is validated first: SET NOT NULL would ignore the proof, and scan.
    """
    raw, check = run.schema[table], contract.check(proof)
    columns = check.columns
    facts = (
        "'not_null', (SELECT coalesce(jsonb_agg(attname), '[]') FROM pg_attribute "
        f"WHERE attrelid = {raw.literal}::regclass AND attnotnull AND attnum > 0)"
    )
    unproven = f", 'not_valid', {unproven_not_null.found(raw, columns)}"
    partitioned = run.on_partitions(raw)
    if partitioned:
        facts += recorded_in(run.schema)
        facts += f", 'own_not_null', {partition_not_null.own(raw, columns)}"
        facts += f", 'own_no_inherit', {unproven_not_null.found_in_partitions(raw, columns, 'connoinherit')}"
        unproven += f", 'own_not_valid', {unproven_not_null.found_in_partitions(raw, columns)}"
    recording = record(run.schema, revision, f"jsonb_build_object({facts})")
    validating = unproven_not_null.validate(raw, columns)
    first = record(run.schema, revision, f"jsonb_build_object({facts}{unproven})")
    run.run(replace(first, needed=f"{first.needed} AND {validating.needed}", printed=Printed.ASKING))
    run.run(validating)
    inheriting = unproven_not_null.inherit(partitioned.session, raw, columns) if partitioned else []
    for step in [recording, *inheriting] if inheriting else []:
        run.run(step)
    run.run(
        recording,
        *(not_null(raw, some) for some in ([[column] for column in columns] if partitioned else [columns])),
        drop(raw, proof, constraint_is_ours(raw, check), foreign(raw, check)),
    )
    if partitioned:
        partition_not_null.drop_proofs(partitioned, raw)


@operation
def invalidate_checks(
    run: Executor, table: str, names: Sequence[str], contract: Contract, proof: str, revision: str
) -> None:
    """Make CHECKs NOT VALID again, and drop the NOT NULL that ``revision`` had set; new rows stay guarded.

    The column that a table is distributed by keeps its NOT NULL: Citus refuses to drop it.
    """
    raw, check = run.schema[table], contract.check(proof)
    columns = tuple(column for column in check.columns if column != run.spread(raw).column)
    again = [add_again(raw, contract.check(name), recorded(run.schema, revision)) for name in names]
    proved = f"({nullable_before(check.columns)} OR value->'not_valid' <> '[]')"
    again.append(add_again(raw, check, recorded(run.schema, revision, proved)))
    if online := run.on_partitions(raw):
        run.run(*again)
        partition_not_null.drop(online, raw, columns, revision)
        run.run(forget(run.schema, revision))
    else:
        ours = recorded(run.schema, revision, "NOT value->'not_null' ? attname::text")
        above, column = "pg_partition_ancestors(indrelid)", "own->3 ? attname::text"
        own = was_own(run.schema, revision, "own_not_null", above, column)
        dropped = drop_not_null(raw, columns, ours, own)
        unproven = recorded(run.schema, revision, "value->'not_valid' ? attname::text")
        invalidated = unproven_not_null.invalidate(raw, columns, unproven)
        run.run(*again, dropped, invalidated, forget(run.schema, revision))
