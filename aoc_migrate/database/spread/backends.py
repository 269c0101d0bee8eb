"""Which session is behind a backend that Citus opened on a node: Citus names it in ``application_name``.

Anybody may set that name. But a backend of Citus has the role of its session, so what names a session of another
role is taken for itself.
"""

import re

from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.spread.nodes import on_each_node

_INTERNAL = "citus_internal gpid="
_PER_NODE = 10_000_000_000  # a global pid is the node's id times this, plus the pid (Citus 13, backend_data.c)
BACKENDS = {
    "ours": "SELECT pid FROM pg_stat_activity WHERE application_name = %(name)s AND usename = current_user",
    "waiter": f"(SELECT coalesce(substring(application_name FROM '{_INTERNAL}(.*)'), pid::text) "
    "FROM pg_stat_activity a WHERE a.pid = waiting.pid)",
}
"""For the queue for locks on a node: the backends of a session by their ``name``, and what a waiter is called."""

_SESSIONS = """
SELECT pid, usename AS role, application_name AS application, state, query,
  extract(epoch FROM now() - xact_start)::int AS seconds FROM pg_stat_activity WHERE pid = ANY (%s)
"""


def internal_name(session: Session, pid: int) -> str:
    """Return the ``application_name`` of the backends that Citus opens on nodes for session ``pid`` of ours."""
    offset = "SELECT pg_catalog.citus_backend_gpid() - pg_backend_pid() + %s"
    return f"{_INTERNAL}{session.value(offset, (pid,))}"


def sessions_of(session: Session, rows: list[Row]) -> list[Row]:
    """Return rows about backends of nodes, each with the session behind a backend of Citus in its place, once.

    ``global_pid``: what pg_terminate_backend takes here.
    """
    numbers = [_originator(row) or _global_pid(row) for row in rows]
    pids = [number % _PER_NODE for row, number in zip(rows, numbers, strict=True) if number != _global_pid(row)]
    seen = on_each_node(session, "which sessions Citus works for", _SESSIONS, (pids,)) if pids else []
    known = {_global_pid(row): row for row in seen}
    found = dict[object, Row]()
    for row, named in zip(rows, numbers, strict=True):
        its = known.get(named, {})
        number = named if row.get("role") in (None, its.get("role", row.get("role"))) else _global_pid(row)
        whole = row | (its if number == named else {})
        found.setdefault(
            row.get("gid") or number, whole | {"global_pid": number if whole["node"] else whole["pid"]}
        )
    return list(found.values())


def _originator(row: Row) -> int | None:
    """Return the global pid of the session that Citus opened a backend for; None for any other backend."""
    found = re.fullmatch(f"{_INTERNAL}([0-9]+)", row["application"] or "")
    return int(found[1]) if found else None


def _global_pid(row: Row) -> int:
    return int(row["nodeid"]) * _PER_NODE + int(row["pid"])
