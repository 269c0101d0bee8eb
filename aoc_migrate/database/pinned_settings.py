"""Settings that every session of ours pins, online and in scripts, whatever the role, database or PGOPTIONS set.

Of the settings that any role may change, these decide what the catalog prints, how values are read and written, or
what an error does. Settings that only slow a plan down, or place files, remain the operator's; the exception is
``jit``, which is on by default. Time limits derived from ours, and ``row_security`` for writes, are set on top.
"""

import os
from collections.abc import Mapping

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aoc_migrate.database.relation import literal

SEARCH_PATH = "pg_catalog, pg_temp"  # no planted functions and operators; relations are named with their schema

SETTINGS = {
    # Errors and waiting
    "exit_on_error": "off",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
    "client_connection_check_interval": "5s",
    "tcp_keepalives_idle": "30",  # a machine that vanished must not hold the run lock for hours
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "client_min_messages": "warning",
    "log_parameter_max_length_on_error": "0",  # no values of rows in the server's log
    "check_function_bodies": "on",
    "plpgsql.extra_errors": "none",
    "plpgsql.extra_warnings": "none",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    # Which rows a query sees
    "row_security": "on",  # filters a verifier of one tenant; commands that need every row check that first
    "restrict_nonsystem_relation_kind": "",
    "gin_fuzzy_search_limit": "0",
    "transform_null_equals": "off",
    # Compiling our long expressions takes longer than it saves: seconds for a batch of milliseconds
    "jit": "off",
    # How SQL and values are read
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "backslash_quote": "safe_encoding",
    "array_nulls": "on",  # otherwise NULL in an array parameter is the string 'NULL'
    "xmloption": "content",
    # How values and the catalog are printed
    "quote_all_identifiers": "off",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmlbinary": "base64",
}

CONNECT_TIMEOUT = 10  # seconds for each host
_KEEPALIVE = {
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",  # milliseconds
}
"""The same on our side of the network: a run must not wait for hours for a server that vanished."""


def kept_alive(conninfo: str) -> str:
    """Return a connection string of a connection that ends a minute after its server, unless it says otherwise.

    It waits `CONNECT_TIMEOUT` for an answer. A service file may have keepalives of its own, and would count for
    less than what is added here.
    """
    given = conninfo_to_dict(conninfo)
    theirs = given.get("keepalives") == "0" or "service" in given or "PGSERVICE" in os.environ
    return make_conninfo("", **{"connect_timeout": CONNECT_TIMEOUT} | ({} if theirs else _KEEPALIVE) | given)


LIFT = (
    "SELECT set_config(name, wanted, false) FROM pg_settings JOIN (VALUES ('temp_file_limit', '-1'), "
    "('citus.max_intermediate_result_size', '-1'), ('session_replication_role', 'origin')) AS x (ours, wanted) "
    "ON ours = name WHERE setting <> wanted AND (context = 'user' OR has_parameter_privilege(name, 'SET'))"
)
"""Lifts, where this role may, the limits that sorts, index builds and, on a Citus cluster, results of shards may
exceed, and lets foreign keys and triggers work as for others. It needs PostgreSQL 15."""


def pin(ours: str) -> str:
    """Return the query that applies the settings of ``ours (ours, wanted)``, an SQL table, that this server has.

    A setting of PL/pgSQL counts as known before its library is loaded.
    """
    return (
        f"SELECT set_config(coalesce(name, ours), wanted, false) FROM {ours} "
        "LEFT JOIN pg_settings ON lower(name) = lower(ours) WHERE name IS NOT NULL OR ours ^@ 'plpgsql.'"
    )


def preamble(more: Mapping[str, str]) -> str:
    """Return the first statements of a script: the same settings, and ``more`` on top."""
    pairs = [f"({literal(name)}, {literal(value)})" for name, value in {**SETTINGS, **more}.items()]
    lines = [", ".join(pairs[n : n + 3]) for n in range(0, len(pairs), 3)]
    ours = "(VALUES\n    " + ",\n    ".join(lines) + "\n  ) AS ours (ours, wanted)"
    return f"SET search_path = {SEARCH_PATH};\nDO $aoc$ BEGIN\n  PERFORM{pin(ours)[6:]};\nEND $aoc$;"
