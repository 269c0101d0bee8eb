"""Through a pooler there is no session to hold a lock: refused, with the remedy. With a real PgBouncer."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Aoc, Database
from tests.helpers import wait_until
from tests.servers import guard

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
CONFIG = """
[databases]
* = host={host} port={port} user={user} password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
ignore_startup_parameters = extra_float_digits
"""


@pytest.fixture
def pooled_url(request: pytest.FixtureRequest, excititor: Database) -> Iterator[str]:
    """The URL of the test's database through PgBouncer, in the mode that the test's parameter names."""
    if PGBOUNCER is None:
        pytest.skip("no pgbouncer on this machine (Debian: apt-get install pgbouncer)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listen = free.getsockname()[1]
    info = excititor.connection.info
    words = {"host": info.host, "port": info.port, "user": info.user, "password": info.password}
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer", dir="/tmp"))
    guard(folder)
    folder.chmod(0o755)
    config = folder / "pgbouncer.ini"
    config.write_text(CONFIG.format(**words, listen=listen, mode=request.param))
    user = "nobody" if os.geteuid() == 0 else None  # PgBouncer refuses to run as root
    with subprocess.Popen([PGBOUNCER, "-q", str(config)], stderr=subprocess.DEVNULL, user=user) as process:
        try:
            wait_until(lambda: reachable(listen))
            yield f"postgresql://{info.user}@127.0.0.1:{listen}/{info.dbname}?sslmode=disable"
        finally:
            process.terminate()
            shutil.rmtree(folder)


def reachable(port: int) -> bool:
    """Return whether something listens."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("pooled_url", ["transaction", "session"], indirect=True)
@pytest.mark.parametrize("command", [["upgrade"], ["downgrade", "-1"], ["audit"], ["verify"]], ids=str)
def test_a_pooler_is_refused(command: list[str], pooled_url: str, excititor: Database, aoc: Aoc) -> None:
    """A pooler is refused with exit 2, the reason and the remedy; nothing is changed."""
    aoc.environment["EXCITITOR_DATABASE_URL"] = pooled_url

    ran = aoc.json(*command)

    assert (ran.exit_code, ran.slugs()) == (2, ["pooler"])
    assert "--allow-session-pooler" in ran.finding("pooler")["help"]
    assert excititor.value("SELECT count(*) FROM pg_class WHERE relname LIKE 'aoc%%'") == 0


@pytest.mark.parametrize("pooled_url", ["session"], indirect=True)
def test_session_mode_works_when_allowed(pooled_url: str, excititor: Database, aoc: Aoc) -> None:
    """Through a pooler in session mode, --allow-session-pooler upgrades and verifies."""
    aoc.environment["EXCITITOR_DATABASE_URL"] = pooled_url

    assert aoc("upgrade", "--allow-session-pooler").exit_code == 0
    assert aoc("verify", "--allow-session-pooler", "--probe").exit_code == 0
    assert excititor.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


@pytest.mark.parametrize("pooled_url", ["transaction"], indirect=True)
def test_wait_works_through_any_pooler(pooled_url: str, excititor: Database, aoc: Aoc) -> None:
    """`wait` only reads, so it works through any pooler."""
    aoc.configure(excititor)
    aoc("upgrade")

    assert aoc("wait", "--timeout", "5s", EXCITITOR_DATABASE_URL=pooled_url).exit_code == 0
