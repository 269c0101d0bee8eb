"""Replicas that read the storage of their primary: pg_stat_replication does not list them. Aurora's are such."""

from aoc_migrate.database.limits import read_limits
from aoc_migrate.database.observing import only_observing
from aoc_migrate.database.session import Session
from aoc_migrate.report.model import Finding, finding

WHAT = "how far Aurora's replicas are behind"
REASON = (
    "they read the primary's storage, and pg_stat_replication does not list them; a query of --throttle-query "
    "can ask aurora_replica_status()"
)
# Aurora may not list its own functions in pg_proc; AWS's drivers recognize it by the setting.
_AURORA = (
    "SELECT to_regprocedure('pg_catalog.aurora_replica_status()') IS NOT NULL "
    "OR coalesce(current_setting('rds.extensions', true), '') ~ 'aurora_stat_utils'"
)
_REPLICAS = "FROM pg_catalog.aurora_replica_status() WHERE session_id <> 'MASTER_SESSION_ID'"
QUERY = f"SELECT coalesce(max(replica_lag_in_msec), 0) > 10000 {_REPLICAS}"
"""For --throttle-query: whether a replica is more than ten seconds behind."""


def hidden_replicas(session: Session) -> list[Finding]:
    """Return ``hidden-replicas`` if this server has replicas that --max-lag cannot see.

    Returns nothing where the operator has decided: with --max-lag off, or with a query of --throttle-query.
    """
    limits = session.limits
    if limits.max_lag_bytes is None and limits.max_lag_seconds is None:
        return []
    if limits.throttle_query or read_limits().throttle_query or not _has_some(session):
        return []
    return [finding("hidden-replicas", session.target.name, query=QUERY)]


def _has_some(session: Session) -> bool:
    """Return whether Aurora has replicas; where this role may not ask, it may have some."""
    if not session.value(_AURORA):
        return False
    with only_observing(session, WHAT):
        return bool(session.value(f"SELECT EXISTS (SELECT {_REPLICAS})"))
    return True
