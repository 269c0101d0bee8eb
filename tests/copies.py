"""What several tests begin with is made once, and then copied: an upgrade costs fifty times as much as a copy."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from zlib import crc32

import psycopg
import pytest
from psycopg import sql

from tests.conftest import Database, Ran

_MADE = set[str]()


def made_once(
    request: pytest.FixtureRequest, database: Database, make: Callable[[], Ran | None], state: str = ""
) -> None:
    """Bring a test's new database to where ``make`` takes it: the first time by that, later by a copy.

    The fixture of the ``request`` names the ``state``, unless that has a name of its own. ``make`` changes nothing
    outside of the database.
    """
    url, name = database.url, database.connection.info.dbname
    server = url.rpartition("/")[0] + "/postgres"
    copy = f"{name}_{crc32((state or f'{request.path} {request.fixturename}').encode()):08x}"
    known = copy in _MADE
    if not known:
        ran = make()
        assert ran is None or ran.exit_code == 0, ran.out + ran.err
        _MADE.add(copy)
        request.config.add_cleanup(partial(_drop, server, copy))
    database.connection.close()
    if known:
        _drop(server, name)
    of, to = (copy, name) if known else (name, copy)
    _run(server, sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(to), sql.Identifier(of)))
    database.connection = psycopg.connect(url, autocommit=True)
    request.addfinalizer(database.connection.close)


def _drop(server: str, name: str) -> None:
    with suppress(psycopg.OperationalError):  # at the end: the server is gone, and the copy with it
        _run(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _run(server: str, statement: sql.Composed) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)
