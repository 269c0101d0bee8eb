"""A server started by root, by an ordinary user, or by a user id without a name."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aoc_migrate.errors import Abort
from aoc_migrate.sandbox import account
from aoc_migrate.sandbox.server import Server, find_binaries
from tests.servers import guard

ROOT = Path(__file__).parents[2]
NOBODY, BARE = 65534, 123456

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def python_for(user: int) -> str:
    """Return an interpreter that this user can run and that can read the package."""
    for python in (sys.executable, shutil.which("python3", path="/usr/local/bin:/usr/bin") or ""):
        script = "import os, sys, aoc_migrate.sandbox.server as _; sys.exit(not os.access(sys.argv[1], os.X_OK))"
        command = [python, "-c", script, str(find_binaries() / "postgres")]
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL, **identity(user))
            return python
    pytest.skip(f"user {user} cannot run Python 3.11, this checkout and PostgreSQL's programs where they are")


def identity(user: int) -> dict[str, Any]:
    """Return what makes `subprocess.run` start a program as this user."""
    environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    return {"user": user, "group": 0, "extra_groups": [], "env": environment, "cwd": "/"}


@needs_root
@pytest.mark.parametrize("user", [pytest.param(NOBODY, id="nobody"), pytest.param(BARE, id="bare")])
def test_an_ordinary_or_nameless_user_has_a_sandbox(user: int) -> None:
    """An ordinary user has a sandbox in the home folder, and so has a user id without a name."""
    script = """
        import sys
        from pathlib import Path
        from aoc_migrate.sandbox.server import Server, default_folder
        server = Server(default_folder(), Path(sys.argv[1]))
        server.start(); print(server.running())
        server.stop(); print(server.running())
        server.delete(); print(server.folder.exists())
    """
    home = Path(tempfile.mkdtemp(prefix="aoc-home-"))
    guard(home)
    os.chown(home, user, 0)
    settings = identity(user)
    settings["env"]["HOME"] = str(home)
    code = "\n".join(each.strip() for each in script.splitlines())
    try:
        command = [python_for(user), "-c", code, str(find_binaries())]
        result = subprocess.run(command, check=False, capture_output=True, text=True, **settings)
    finally:
        shutil.rmtree(home)

    assert (result.stderr, result.stdout.split()) == ("", ["True", "False", "False"])


@needs_root
def test_root_without_namespaces_runs_the_server_as_nobody(
    unstarted_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where user namespaces are forbidden, root's server runs as nobody, where nobody can reach it."""

    def forbidden() -> None:
        raise PermissionError

    monkeypatch.setattr(account, "_enter_namespace", forbidden)
    unstarted_server.start()
    work = unstarted_server.sockets.parent
    with psycopg.connect(unstarted_server.url("postgres")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert (work / "data").stat().st_uid == NOBODY
    unstarted_server.delete()

    assert not work.exists()


def test_a_nameless_user_without_namespaces_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A nameless user without namespaces is refused, with what to do."""
    monkeypatch.setattr(os, "geteuid", lambda: BARE)
    monkeypatch.setattr(account.Account, "can_use", lambda *_: False)

    with pytest.raises(Abort, match=r"/etc/passwd"):
        account.choose_account(find_binaries(), tmp_path)
