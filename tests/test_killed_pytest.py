"""A pytest that is killed leaves neither a server nor its files."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.helpers import wait_until

SLEEPING = """
import json, os, time
from pathlib import Path
import psycopg
from psycopg.conninfo import make_conninfo
from tests.servers import running_server

def test_a_long_sleep(pg_server):
    known = {name: getattr(pg_server, name) for name in ("host", "port", "user", "password")}
    url = make_conninfo("", **known)
    with running_server() as own:
        folders = []
        for each in (url, own.url("postgres")):
            with psycopg.connect(each, dbname="postgres") as connection:
                folders += connection.execute("SHOW data_directory").fetchone()
        partial = Path("{report}.partial")
        partial.write_text(json.dumps([os.getpid(), *folders]))
        partial.rename("{report}")
        time.sleep(600)
"""


@pytest.mark.alike
@pytest.mark.parametrize("killed", ["pytest", "worker", "controller"])
def test_a_killed_pytest_leaves_no_server(killed: str, tmp_path: Path) -> None:
    """Killed itself, or as a worker or the controller of xdist, pytest leaves no server process and no folder."""
    report = tmp_path / "report"
    (tmp_path / "test_sleeping.py").write_text(SLEEPING.replace("{report}", str(report)), encoding="utf-8")
    workers = "0" if killed == "pytest" else "1"
    words = ("-c", os.devnull, "-p", "tests.conftest", "-p", "no:cacheprovider", "-q", "-n", workers)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AOC_", "PYTEST_"))}
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", *words, str(tmp_path / "test_sleeping.py")],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
    ) as process:
        wait_until(lambda: report.exists() or process.poll() is not None, seconds=120)
        pid, *folders = json.loads(report.read_text(encoding="utf-8"))
        servers = [(Path(folder) / "postmaster.pid").read_text(encoding="utf-8").split()[0] for folder in folders]

        os.kill(pid if killed == "worker" else process.pid, signal.SIGKILL)

        wait_until(lambda: not any(Path("/proc", server).exists() for server in servers))
        wait_until(lambda: not any(Path(folder).parent.exists() for folder in folders))
        process.kill()
