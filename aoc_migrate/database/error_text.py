"""The words of an error that a report may show: never a row, never a password."""

import re

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
QUOTING = ("22", "38")
"""SQLSTATE classes whose messages quote values: "data exception", such as of the text that is no number, and
"external routine exception", which is what a function in Perl, Python or Tcl has said."""
LONGEST = 300  # characters of a DETAIL
RAISED = "exec_stmt_raise"  # PL/pgSQL's RAISE (PostgreSQL source, pl_exec.c), whose SQLSTATE promises nothing
_WORDED = (RAISED, "exec_stmt_assert")  # whose messages are those of whoever wrote the function
_IN_PYTHON = "PLy_elog_impl"  # the same of PL/Python (plpy_elog.c), whatever SQLSTATE the function chose
_OURS = re.compile(r"\S+ \S+ inline_code_block ")  # what PL/pgSQL calls the body of DO, which only we send


def first_line(error: BaseException, target: Target) -> str:
    """Return the first line of an error's message, and its DETAIL if that only names objects.

    A message that may quote a row's values, or that a function of others wrote, is left out: the error is named
    instead. The primary message of PostgreSQL's errors never holds a password; libpq's own errors might.
    """
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        place = (error.diag.context or "PL/pgSQL").splitlines()[0]  # the function and its line
        if error.diag.source_function in _WORDED and not _OURS.match(place):
            return f"{place} (SQLSTATE {error.sqlstate})"
        quoting = error.diag.source_function == _IN_PYTHON or (error.sqlstate or "").startswith(QUOTING)
        if error.sqlstate and quoting:
            return named(error.sqlstate)
        line = error.diag.message_primary.splitlines()[0]
        return f"{line} ({detail})" if (detail := _detail(error)) else line
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    password = psycopg.conninfo.conninfo_to_dict(target.conninfo).get("password")
    return line.replace(str(password), "***") if password else line


def named(sqlstate: str) -> str:
    """Return the words for an error that PostgreSQL gives a SQLSTATE, never its message."""
    try:
        words = " ".join(re.findall("[A-Z][a-z]*", psycopg.errors.lookup(sqlstate).__name__)).lower()
    except KeyError:
        words = "an error of its own"
    return f"{words} (SQLSTATE {sqlstate})"


def _detail(error: psycopg.Error) -> str:
    """Return the DETAIL in one line of bounded length; empty if there is none, or it may hold rows."""
    if error.sqlstate not in NAMING:
        return ""
    text = "; ".join((error.diag.message_detail or "").splitlines()).rstrip(".")
    return text if len(text) <= LONGEST else f"{text[:LONGEST].rstrip()} …"
