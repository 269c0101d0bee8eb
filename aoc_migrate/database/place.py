"""Where a session is: server, database, schema and role, as the server itself says."""

import psycopg

from aoc_migrate.database.engines import ENGINE, refuse
from aoc_migrate.database.session import Session
from aoc_migrate.errors import Abort
from aoc_migrate.report.model import Place, finding

_PLACE = (
    "SELECT current_database() AS database, current_user AS role, {} AS system_identifier, "
    f"{ENGINE} AS engine, "
    "to_regclass('pg_catalog.pg_dist_local_group') IS NOT NULL AS citus"
)
_SYSTEM_IDENTIFIER = "(SELECT system_identifier::text FROM pg_control_system())"


def read_place(session: Session) -> Place:
    """Return the session's place; without a system identifier where this role may not read it.

    Also notes in the session whether it is ``on_cluster``. Raises Abort ``citus-worker`` or
    ``other-engine``.
    """
    try:
        row = session.row(_PLACE.format(_SYSTEM_IDENTIFIER))
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported):
        row = session.row(_PLACE.format("NULL"))
    refuse(row["engine"], session.target)
    if row["citus"]:
        _of_cluster(session)
    info = session.connection.info
    return Place(
        info.host or info.hostaddr or None,
        info.port,
        row["database"],
        session.target.schema,
        row["role"],
        info.parameter_status("server_version"),
        row["system_identifier"],
    )


def _of_cluster(session: Session) -> None:
    """Refuse a worker; note whether the tables belong to the cluster."""
    from aoc_migrate.database.spread.nodes import coordinator_elsewhere, has_tables

    coordinator, target = coordinator_elsewhere(session), session.target
    if coordinator:
        raise Abort(finding("citus-worker", target.name, variable=target.variable, coordinator=coordinator))
    session.on_cluster = has_tables(session)
