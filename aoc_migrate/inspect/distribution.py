"""What stops us on a Citus cluster before anything is written: a setting, and how the raw table is distributed."""

from collections.abc import Iterator

from aoc_migrate.database.relation import literal
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.shape import Placement, Spread, spread_of
from aoc_migrate.report.model import Finding, finding

_DISTRIBUTED_BY = "tenant"
_SETTING = """
SELECT current_setting('citus.enable_ddl_propagation', true) = 'off' AS off, quote_ident(current_user) AS role
WHERE to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL
"""


def cluster_findings(session: Session) -> Iterator[Finding]:
    """Yield what stops a command that writes, if this database belongs to a Citus cluster."""
    table = session.target.table
    for setting in session.rows(_SETTING):
        if setting["off"]:
            yield finding("ddl-propagation-off", table, role=setting["role"])
        yield from distribution_findings(session, table, spread_of(session, table))


def distribution_findings(session: Session, table: str, spread: Spread) -> Iterator[Finding]:
    """Yield ``distribution-key`` if Citus distributes the raw table in a way that the contract cannot use."""
    raw = session.schema[table].literal
    again = f"SELECT create_distributed_table({raw}, '{_DISTRIBUTED_BY}');"
    back = f"SELECT undistribute_table({raw});"
    match spread.placement:
        case Placement.DISTRIBUTED if spread.column != _DISTRIBUTED_BY:
            how = f"distributed by {spread.column}"
            remedy = (
                f"Drop its unique indexes without {_DISTRIBUTED_BY}, and in a maintenance window run: SELECT "
                f"alter_distributed_table({raw}, distribution_column := '{_DISTRIBUTED_BY}');"
            )
        case Placement.APPEND:
            how, remedy = "append-distributed", f"In a maintenance window, run: {back} {again}"
        case Placement.SINGLE_SHARD:
            how = "schema-sharded: all of it is one shard"
            remedy = (
                f"In a maintenance window, run: {back} Or, if its schema is distributed: SELECT "
                f"citus_schema_undistribute({literal(str(session.schema))}); To distribute it by tenant: {again}"
            )
        case _:
            return
    yield finding("distribution-key", table, how=how, remedy=remedy)
