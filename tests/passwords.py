"""A server for tests checks its superuser's password quickly."""

import psycopg
from psycopg import sql


def hurry_passwords(url: str) -> None:
    """Let the superuser's password be checked quickly: thousands of connections are made (PostgreSQL 16)."""
    with psycopg.connect(url, autocommit=True) as connection:
        if connection.info.server_version >= 160000:
            password = sql.Literal(connection.info.password)
            connection.execute("SET scram_iterations = 1")
            connection.execute(sql.SQL("ALTER ROLE CURRENT_USER PASSWORD {}").format(password))
