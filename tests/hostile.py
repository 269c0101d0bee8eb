"""Untrusted roles with the rights that a test gives them, and traces of their code that ran."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.conftest import Database


@contextmanager
def stranger(
    database: Database, rights: str = "GRANT CREATE, USAGE ON SCHEMA public TO {role}", name: str = "stranger"
) -> Iterator[Database]:
    """Give a connection of a role that owns nothing here, with ``rights``; what it made goes with it."""
    role = f"{name}_{database.connection.info.backend_pid}"
    database.run(f"CREATE ROLE {role} LOGIN PASSWORD 's'")
    try:
        if rights:
            database.run(rights.format(role=role))
        with psycopg.connect(database.url_as(role, "s"), autocommit=True) as connection:
            yield Database(connection, database.table, database.target)
    finally:
        database.run(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def role_of(database: Database) -> str:
    """Return the role of a connection."""
    return database.connection.info.user


def trap(database: Database, name: str = "trapped", answer: str = "NULL") -> str:
    """Make a trigger function of the connection's role that leaves its mark; return how SQL calls it.

    The mark is a sequence that moves, so that it is there even where the transaction is rolled back.
    """
    database.run(
        f"CREATE SEQUENCE public.{name}_ran; GRANT ALL ON SEQUENCE public.{name}_ran TO PUBLIC; "
        f"CREATE FUNCTION public.{name}() RETURNS trigger LANGUAGE plpgsql AS $evil$ BEGIN "
        f"PERFORM pg_catalog.nextval('public.{name}_ran'); RETURN {answer}; END $evil$; "
        f"GRANT EXECUTE ON FUNCTION public.{name}() TO PUBLIC"
    )
    return f"public.{name}()"


def ran(database: Database, name: str = "trapped") -> bool:
    """Return whether what `trap` made has run."""
    return bool(database.value(f"SELECT is_called FROM public.{name}_ran"))
