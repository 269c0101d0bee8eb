"""A primary and its synchronous standby, made from the same programs."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aoc_migrate.sandbox.account import account_of
from aoc_migrate.sandbox.address import free_port
from aoc_migrate.sandbox.server import Server
from aoc_migrate.sandbox.state import State, load_state
from tests.helpers import wait_until
from tests.servers import crash, guarded_server


@dataclass(frozen=True)
class Pair:
    """Two servers; what the primary has acknowledged is on the standby."""

    primary: Server
    standby: Server

    @property
    def conninfo(self) -> str:
        """Leads to whichever of the two is the primary, as an operator would write it."""
        known = [conninfo_to_dict(server.url("postgres")) for server in (self.primary, self.standby)]
        both = {name: ",".join(str(one[name]) for one in known) for name in ("host", "port")}
        return make_conninfo("", **(known[0] | both | {"target_session_attrs": "read-write"}))

    def fail_over(self) -> None:
        """Stop the primary as a crash would, and promote the standby."""
        crash(self.primary)
        with psycopg.connect(self.standby.url("postgres")) as connection:
            assert connection.execute("SELECT pg_promote()").fetchone() == (True,)


@contextmanager
def pair(primary: Server) -> Iterator[Pair]:
    """Give a running server, as it is now, a synchronous standby for as long as the block lasts."""
    with standby_of(primary) as standby:
        with psycopg.connect(primary.url("postgres"), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
            synchronous = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
            wait_until(lambda: connection.execute(synchronous).fetchone() == (1,))
        yield Pair(primary, standby)


@contextmanager
def standby_of(primary: Server) -> Iterator[Server]:
    """Run a standby that follows a running server, as it is now, for as long as the block lasts."""
    folder = Path(tempfile.mkdtemp(prefix="aoc", dir="/tmp"))
    standby = guarded_server(folder, primary.binaries)
    try:
        _copy(primary, standby)
        standby.start()
        yield standby
    finally:
        standby.delete()
        shutil.rmtree(folder, ignore_errors=True)


def _state(server: Server) -> State:
    state = load_state(server.folder)
    assert state is not None
    return state


def _copy(primary: Server, standby: Server) -> None:
    state, account = _state(primary), account_of(_state(primary).data)
    account.own(standby.folder)
    data = standby.folder / "data"
    source = primary.url("postgres")
    done = account.run(primary.binaries / "pg_basebackup", "-c", "fast", "-X", "stream", "-D", data, "-d", source)
    assert done.returncode == 0, done.stdout
    # With -R, the server would get options that pg_basebackup knows, and the libpq that it loads may be older.
    with (data / "postgresql.auto.conf").open("a", encoding="utf-8") as settings:
        settings.write(f"primary_conninfo = '{source}'\n")
    (data / "standby.signal").touch()
    State(state.password, free_port(), str(standby.folder), str(standby.folder / "socket")).save(standby.folder)
