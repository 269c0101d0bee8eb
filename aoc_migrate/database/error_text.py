"""The words of an error that a report may show: never a row, never a password."""

import psycopg

from aoc_migrate.database.targets import Target

NAMING = (
    "2BP01",  # dependent_objects_still_exist
    "428C9",  # generated_always
    "42809",  # wrong_object_type
    "42P10",  # invalid_column_reference: columns that a publication uses
    "55006",  # object_in_use
)
"""SQLSTATEs whose DETAIL names objects. That of others may hold whole rows (`reference/peers.md` 3.3)."""
LONGEST = 300  # characters of a DETAIL
RAISED = "exec_stmt_raise"  # PL/pgSQL's RAISE (PostgreSQL source, pl_exec.c), whose SQLSTATE promises nothing


def first_line(error: BaseException, target: Target) -> str:
    """Return the first line of an error's message, and its DETAIL if that only names objects.

    The primary message of PostgreSQL's errors never holds a password; libpq's own errors might.
    """
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        line = error.diag.message_primary.splitlines()[0]
        return f"{line} ({detail})" if (detail := _detail(error)) else line
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    password = psycopg.conninfo.conninfo_to_dict(target.conninfo).get("password")
    return line.replace(str(password), "***") if password else line


def _detail(error: psycopg.Error) -> str:
    """Return the DETAIL in one line of bounded length; empty if there is none, or it may hold rows."""
    if error.sqlstate not in NAMING or error.diag.source_function == RAISED:
        return ""
    text = "; ".join((error.diag.message_detail or "").splitlines()).rstrip(".")
    return text if len(text) <= LONGEST else f"{text[:LONGEST].rstrip()} …"
