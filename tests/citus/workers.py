"""The workers of a cluster on this machine, as servers that a test may stop and start."""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from aoc_migrate.sandbox.account import account_of
from tests.citus.clusters import WORKERS, Cluster


@dataclass(frozen=True)
class Worker:
    """A worker of this machine, by its data folder."""

    folder: Path

    @property
    def port(self) -> int:
        """The port of the running server."""
        return int((self.folder / "postmaster.pid").read_text(encoding="utf-8").splitlines()[3])

    def stop(self) -> None:
        """Stop the server as a crash would."""
        self._control("stop", "-m", "immediate")

    def start(self) -> None:
        """Start the server as it was started before, unless it runs."""
        if self._control("status", code=None) != 0:
            options = shlex.join(_command(self.folder)[1:])
            self._control("start", "-o", options, "-l", str(self.folder / "started-by-tests.log"))

    def _control(self, *words: str, code: int | None = 0) -> int:
        program = Path(_command(self.folder)[0]).with_name("pg_ctl")
        home = f"HOME={self.folder}"  # a worker that connects to another looks there for certificates
        done = account_of(self.folder).run("env", home, program, "-w", "-D", self.folder, *words)
        assert code in (None, done.returncode), done.stdout
        return done.returncode


def given_workers(cluster: Cluster) -> list[Worker]:
    """Return the workers whose data folders the environment names, running, or skip the test with the reason."""
    given = os.environ.get(WORKERS)
    if not given:
        pytest.skip(f"no worker to stop: set {WORKERS} to the data folders of the workers, separated by commas")
    workers = [Worker(Path(folder)) for folder in given.split(",")]
    start_all(workers)
    ports = {int(str(conninfo_to_dict(url)["port"])) for url in cluster.workers}
    assert {worker.port for worker in workers} == ports, f"{WORKERS} must name every worker of the cluster"
    return workers


def start_all(workers: list[Worker]) -> None:
    """Start whichever of the workers does not run."""
    for worker in workers:
        worker.start()


def _command(folder: Path) -> list[str]:
    """Return the command line with which the server of a folder was started."""
    return shlex.split((folder / "postmaster.opts").read_text(encoding="utf-8"))
