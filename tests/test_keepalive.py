"""Our connections notice that a server has vanished from the network."""

import os
import socket

import pytest
from psycopg.conninfo import conninfo_to_dict

from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.pinned_settings import kept_alive
from aoc_migrate.database.session import connect
from aoc_migrate.database.targets import Target
from tests.conftest import Database

OPTIONS = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")


def test_nothing_is_added_where_the_user_decides() -> None:
    """With a service, whose file may set keepalives, or without any, only the usual time to connect is added."""
    for given in ("service=x dbname=d", "postgresql://h/d?keepalives=0", "keepalives=0 connect_timeout=3"):
        assert conninfo_to_dict(kept_alive(given)) == {"connect_timeout": "10"} | conninfo_to_dict(given)


@pytest.mark.skipif(not all(hasattr(socket, name) for name in OPTIONS), reason="the options are those of Linux")
@pytest.mark.parametrize(
    ("added", "expected"),
    [("", (30, 10, 3, 60_000)), ("?keepalives_idle=7&tcp_user_timeout=9000", (7, 10, 3, 9_000))],
    ids=["usual", "of the URL"],
)
def test_a_connection_has_keepalives(added: str, expected: tuple[int, ...], excititor: Database) -> None:
    """The socket of a session sends TCP keepalives after half a minute, or as the URL says."""
    target = Target("excititor", excititor.url + added)
    with (
        connect(target, "test", Limits(), Flags()) as session,
        socket.socket(fileno=os.dup(session.connection.fileno())) as copy,
    ):
        on = copy.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        found = tuple(copy.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in OPTIONS)

    assert (on, found) == (1, expected)
