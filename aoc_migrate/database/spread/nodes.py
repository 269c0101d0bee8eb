"""The nodes of a Citus cluster: which of them is ours."""

from aoc_migrate.database.session import Session

_ELSEWHERE = """
SELECT coalesce((SELECT nodename || ':' || nodeport FROM pg_catalog.pg_dist_node
  WHERE groupid = 0 AND noderole = 'primary'), 'whose address this worker does not know')
FROM pg_catalog.pg_dist_local_group WHERE groupid <> 0
"""


def coordinator_elsewhere(session: Session) -> str | None:
    """Return the address of the coordinator, in words, if this server is a worker; None if it is not."""
    found: str | None = session.value(_ELSEWHERE)
    return found
