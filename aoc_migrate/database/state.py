"""Facts that migrations record in the state table: each under a name, written once, dropped by the downgrade."""

from aoc_migrate.database.bookkeeping import STATE
from aoc_migrate.database.own_tables import lock
from aoc_migrate.database.relation import VARIABLE, Schema
from aoc_migrate.database.session import Session


def record(schema: Schema, name: str, facts: str) -> str:
    """Return the statement that records ``facts`` (a jsonb expression) under ``name`` if nothing is there."""
    return f"INSERT INTO {schema[STATE]} (name, value) SELECT '{name}', {facts} ON CONFLICT (name) DO NOTHING"


def forget(schema: Schema, name: str) -> str:
    """Return the statement that drops what is recorded under ``name``."""
    return f"DELETE FROM {schema[STATE]} WHERE name = '{name}'"


def recorded(schema: Schema, name: str, more: str = "true") -> str:
    """Return the condition that something is recorded under ``name``, and ``more`` holds for its ``value``."""
    if schema == VARIABLE:  # a script has a function for that, which keeps its conditions short
        value = f"pg_temp.aoc_found('{name}')"
        if more == "true":
            return f"{value} IS NOT NULL"
        return f"coalesce({more.replace('value->', f'{value}->')}, false)"
    condition = "" if more == "true" else f" AND {more}"
    return f"EXISTS (SELECT FROM {schema[STATE]} WHERE name = '{name}'{condition})"


def keep(session: Session, *statements: str) -> None:
    """Run statements that write to the state table in one transaction. Raises Abort ``foreign-object``."""
    with session.transaction():
        lock(session, STATE, writes=True)
        for statement in statements:
            session.run(statement)


def claim(schema: Schema, target: str) -> str:
    """Return the statement that records which target owns this schema, so that another history is refused."""
    return record(schema, "target", f"jsonb_build_object('name', '{target}')")
