"""What a schema looks like in PostgreSQL's catalog, as lines that can be compared and read."""

import re
from typing import Any

import psycopg

from aoc_migrate.database.pinned_settings import SEARCH_PATH
from aoc_migrate.database.session import Session
from aoc_migrate.database.targets import Target
from aoc_migrate.inspect import fingerprint as product

_OF_RELATIONS = ("relation", "column", "constraint", "index", "partition", "rule", "trigger", "policy")


def fingerprint(connection: psycopg.Connection[Any], schema: str = "public", without: str = "^aoc_") -> list[str]:
    """Return one line for each object of ``schema``; relations whose names match ``without`` are left out."""
    session = Session(Target("concelier", "", schema), connection, "test")
    with connection.transaction():
        connection.execute(f"SET LOCAL search_path = {SEARCH_PATH}")
        prefix = f"{session.quoted(schema)}."
        entries = product.fingerprint(session)
    return [
        f"{kind}: {name} | {definition}"
        for kind, name, definition in entries
        if kind not in _OF_RELATIONS or not re.search(without, name.removeprefix(prefix))
    ]
