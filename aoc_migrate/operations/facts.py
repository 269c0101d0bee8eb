"""Steps that remember what a revision found, for its downgrade, and the tables of ours in which that is kept."""

from aoc_migrate.database import state
from aoc_migrate.database.bookkeeping import STATE
from aoc_migrate.database.relation import Schema
from aoc_migrate.operations.step import Kind, Lock, Objection, Step


def record(schema: Schema, name: str, facts: str, objection: Objection | None = None) -> Step:
    """Return the Step that keeps ``facts`` (a jsonb expression) under ``name``, unless something is kept there."""
    sql, needed = state.record(schema, name, facts), f"NOT {state.recorded(schema, name)}"
    return Step(Kind.RECORD, schema[STATE], (name,), Lock.NONE, (sql,), needed, objection)


def forget(schema: Schema, name: str) -> Step:
    """Return the Step that drops what was kept under ``name``."""
    sql, needed = state.forget(schema, name), state.recorded(schema, name)
    return Step(Kind.FORGET, schema[STATE], (name,), Lock.NONE, (sql,), needed)


def claim(schema: Schema, target: str) -> Step:
    """Return the Step that says whose schema this is, so that another history is refused here."""
    sql, needed = state.claim(schema, target), f"NOT {state.recorded(schema, 'target')}"
    return Step(Kind.RECORD, schema[STATE], ("target",), Lock.NONE, (sql,), needed)
