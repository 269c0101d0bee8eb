"""The lab of these tests, on the session's server."""

from types import SimpleNamespace

import pytest
from psycopg.conninfo import make_conninfo

from tests.faults.lab import Lab


@pytest.fixture(scope="session")
def lab(pg_server: SimpleNamespace) -> Lab:
    """A lab whose undisturbed runs are made once."""
    known = {name: getattr(pg_server, name) for name in ("host", "port", "user", "password")}
    return Lab(make_conninfo("", **known, dbname="postgres"))
