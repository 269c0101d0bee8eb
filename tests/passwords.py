"""A server for tests checks its superuser's password quickly."""

import psycopg
from psycopg import sql

from tests.postgres_versions import SCRAM_ITERATIONS, has


def hurry_passwords(url: str) -> None:
    """Let the superuser's password be checked quickly: thousands of connections are made."""
    with psycopg.connect(url, autocommit=True) as connection:
        if has(connection, SCRAM_ITERATIONS):
            password = sql.Literal(connection.info.password)
            connection.execute("SET scram_iterations = 1")
            connection.execute(sql.SQL("ALTER ROLE CURRENT_USER PASSWORD {}").format(password))
