"""The nodes of a Citus cluster: which of them is ours, and queries that run on each of them."""

import html
import json
import re

from aoc_migrate.database.observing import say_unseen
from aoc_migrate.database.pinned_settings import SEARCH_PATH
from aoc_migrate.database.session import Parameters, Row, Session

_ELSEWHERE = """
SELECT coalesce((SELECT nodename || ':' || nodeport FROM pg_catalog.pg_dist_node
  WHERE groupid = 0 AND noderole = 'primary'), 'whose address this worker does not know')
FROM pg_catalog.pg_dist_local_group WHERE groupid <> 0
"""
_TABLES = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_dist_partition JOIN pg_class ON oid = logicalrelid
  WHERE relnamespace = to_regnamespace(%s))
"""
# Citus connects with the role's own search_path, and returns the result of the first statement alone. So one
# statement sets the path, and only then has the server parse the query (PostgreSQL 15 manual, 9.15.3).
_PINNED = f"""
SELECT pg_catalog.query_to_xml(CASE WHEN pg_catalog.set_config('lock_timeout', '1s', false) IS NOT NULL
  AND pg_catalog.set_config('search_path', '{SEARCH_PATH}', false) IS NOT NULL THEN %s END, true, false, '')
"""
_MAY = "SELECT has_function_privilege('pg_catalog.run_command_on_all_nodes(text,boolean,boolean)', 'EXECUTE')"
_EVERYWHERE = """
SELECT success, result, nodeid, coalesce(nodename || ':' || nodeport, 'node ' || nodeid) AS node,
  coalesce(groupid = (SELECT groupid FROM pg_catalog.pg_dist_local_group), true) AS here
FROM pg_catalog.run_command_on_all_nodes(%s) LEFT JOIN pg_catalog.pg_dist_node USING (nodeid)
ORDER BY here DESC, node
"""


def coordinator_elsewhere(session: Session) -> str | None:
    """Return the address of the coordinator, in words, if this server is a worker; None if it is not."""
    found: str | None = session.value(_ELSEWHERE)
    return found


def has_tables(session: Session) -> bool:
    """Return whether Citus manages a table of the session's schema."""
    return bool(session.value(_TABLES, (str(session.schema),)))


def everywhere(session: Session, what: str, query: str, parameters: Parameters | None = None) -> list[Row]:
    """Return the rows of a query from this server or, on a cluster, from each of its nodes.

    Each row has the address of its ``node``, None for this server. Where a node fails, or this role may not ask
    others, the log says once that ``what`` cannot be seen there. From a cluster, values are those of JSON.
    """
    if session.on_cluster:
        return on_each_node(session, what, query, parameters)
    return [{**row, "node": None} for row in session.rows(query, parameters)]


def on_each_node(session: Session, what: str, query: str, parameters: Parameters | None = None) -> list[Row]:
    """Return the rows of a query from each node, as `everywhere` does on a cluster, with Citus's ``nodeid``."""
    if not session.value(_MAY):
        say_unseen(session, f"{what}, on other nodes", "this role may not execute run_command_on_all_nodes")
        return [row | {"node": None, "nodeid": 0} for row in session.rows(query, parameters)]
    listed = (
        f"SELECT coalesce(json_agg(found), '[]') AS found FROM ({session.pasteable(query, parameters)}) AS found"
    )
    rows = list[Row]()
    for answer in session.rows(_EVERYWHERE, (session.pasteable(_PINNED, (listed,)),)):
        found = re.search("<found>(.*)</found>", answer["result"] or "", re.DOTALL)
        if answer["success"] and found:
            place = {"node": None if answer["here"] else answer["node"], "nodeid": answer["nodeid"]}
            rows += [row | place for row in json.loads(html.unescape(found[1]))]
        else:
            say_unseen(session, f"{what}, on {answer['node']}", answer["result"].partition("\n")[0])
    return rows


def on(row: Row) -> str:
    """Return ``" on host:port"`` for what was found on another node, else nothing."""
    return f" on {row['node']}" if row.get("node") else ""
