"""A server on which a command breaks at any of its boundaries, runs again, and is compared with a normal run."""

import itertools
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aoc_migrate.sandbox.account import account_of
from aoc_migrate.sandbox.databases import RAW_TABLES
from aoc_migrate.sandbox.server import Server
from aoc_migrate.sandbox.state import load_state
from tests.conftest import Aoc, Ran
from tests.faults.boundaries import Boundary, boundaries, volatile_functions
from tests.faults.outcome import differences, outcome
from tests.faults.proxy import Proxy, Then
from tests.faults.scenarios import Scenario, fill
from tests.forks import Process

_number = itertools.count()


@dataclass(frozen=True)
class Undisturbed:
    """What a scenario does when nothing disturbs it."""

    template: str
    outcome: list[str]
    boundaries: list[Boundary]


@dataclass
class Lab:
    """Breaks commands on the server at ``url``, a superuser's; only a private ``server`` can be restarted.

    ``options``: settings for the sessions of every command, as libpq takes them.
    """

    url: str
    server: Server | None = None
    known: dict[Scenario, Undisturbed] = field(default_factory=dict)
    options: str = ""

    @contextmanager
    def connect(self, database: str = "postgres") -> Iterator[psycopg.Connection[Any]]:
        """Connect to a database, in autocommit."""
        with psycopg.connect(self.url_of(database), autocommit=True) as connection:
            yield connection

    def url_of(self, database: str, port: int | None = None) -> str:
        """Return the conninfo of a database, or of a proxy before it."""
        known = conninfo_to_dict(self.url)
        off = {"sslmode": "disable", "gssencmode": "disable"}
        return make_conninfo("", **(known | off | {"dbname": database, "port": port or known["port"]}))

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """Create a database that lives as long as the block."""
        name = f"lab_{os.getpid()}_{next(_number)}"
        # A sequence copied through WAL falls back to its old value in a crash: log_cnt comes along, and says
        # that the next values are logged already.
        strategy = "FILE_COPY" if self.server else "WAL_LOG"
        with self.connect() as admin:
            admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY {strategy}")
        yield name
        with self.connect() as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def start(self, target: str, conninfo: str, *words: str) -> Process:
        """Start aoc-migrate on a database."""
        environment = {f"{target.upper()}_DATABASE_URL": conninfo, "AOC_ALLOW_SUPERSEDES_RETROFIT": "true"}
        return Aoc(environment | {"PGOPTIONS": self.options}).start(*words)

    def run(self, target: str, conninfo: str, *words: str) -> Ran:
        """Run aoc-migrate on a database to its end."""
        return end(self.start(target, conninfo, *words))

    def undisturbed(self, scenario: Scenario) -> Undisturbed:
        """Return what the scenario does undisturbed; its template database stays as long as the server."""
        if scenario not in self.known:
            self.known[scenario] = self._undisturbed(scenario)
        return self.known[scenario]

    def _undisturbed(self, scenario: Scenario) -> Undisturbed:
        template = self._template(scenario)
        requests: list[str] = []

        def listen(sql: str) -> Then:
            requests.append(sql)
            return Then.PASS

        with self.database(template) as name:
            with self._proxy(listen) as proxy:
                ran = self.run(scenario.target, self.url_of(name, proxy.port), *scenario.words)
            assert ran.exit_code == 0, ran.out + ran.err
            with self.connect(name) as connection:
                found = boundaries(requests, volatile_functions(connection))
            return Undisturbed(template, self.outcome(name), found)

    def _template(self, scenario: Scenario) -> str:
        name = f"template_{os.getpid()}_{next(_number)}"
        self.create(name, scenario)
        for command in scenario.before:
            verb, revision = command.split()
            ran = self.run(scenario.target, self.url_of(name), verb, scenario.target, revision)
            assert ran.exit_code == 0, ran.out + ran.err
        return name

    def create(self, database: str, scenario: Scenario) -> None:
        """Create a database with the tables and rows of a scenario."""
        with self.connect() as admin:
            admin.execute(f"CREATE DATABASE {database}")
        with self.connect(database) as connection:
            fill(connection, RAW_TABLES[scenario.target], scenario.rows, parted=scenario.parted)

    def outcome(self, database: str) -> list[str]:
        """Return all that a command has left in a database."""
        with self.connect(database) as connection:
            return outcome(connection)

    @cached_property
    def address(self) -> tuple[str, int]:
        """The server's host and port."""
        known = conninfo_to_dict(self.url)
        return str(known["host"]), int(str(known["port"]))

    def _proxy(self, judge: Callable[[str], Then]) -> Proxy:
        return Proxy(*self.address, judge)

    def broken(self, scenario: Scenario, boundary: Boundary, fault: "Fault") -> list[str]:
        """Break the command there, run it again, and return what differs from the undisturbed run."""
        peace = self.undisturbed(scenario)
        with self.database(peace.template) as name:
            ran = self.interrupt(scenario, name, boundary, fault)
            problems = [] if ran else ["the boundary was not reached"]
            if ran and "unexpected" in ran.err:
                problems.append(f"it ended unexpectedly: {ran.err.strip().splitlines()[-1]}")
            if not _reported(scenario, ran):
                again = self.run(scenario.target, self.url_of(name), *scenario.words)
                if again.exit_code:
                    problems.append(f"exit {again.exit_code}: {again.out}{again.err}")
            problems += differences(peace.outcome, self.outcome(name))
        return [f"{scenario}, {fault.__name__} at {boundary}: {problem}" for problem in problems]

    def interrupt(self, scenario: Scenario, database: str, boundary: Boundary, fault: "Fault") -> Ran | None:
        """Run the command and break it at the boundary; return None if it came to its end instead."""
        seen: Counter[str] = Counter()
        reached: list[Boundary] = []
        process: Process

        def judge(sql: str) -> Then:
            seen[sql] += 1
            if (sql, seen[sql]) != boundary[:2]:
                return Then.PASS
            reached.append(boundary)
            return fault(self, database, process)

        with self._proxy(judge) as proxy:
            process = self.start(scenario.target, self.url_of(database, proxy.port), *scenario.words)
            ran = end(process)
        return ran if reached else None

    def restart(self) -> None:
        """Restart the server as after a crash."""
        assert self.server is not None, "only a private server may be restarted"
        state = load_state(self.server.folder)
        assert state is not None
        program = self.server.binaries / "pg_ctl"
        done = account_of(state.data).run(
            program, "restart", "-m", "immediate", "-w", "-D", state.data, "-l", state.log
        )
        assert done.returncode == 0, done.stdout


Fault = Callable[[Lab, str, Process], Then]


def kill(_lab: Lab, _database: str, process: Process) -> Then:
    """Kill the client before the request leaves it."""
    process.send_signal(signal.SIGKILL)
    return Then.DROP


def kill_after_sending(_lab: Lab, _database: str, process: Process) -> Then:
    """Kill the client as soon as the request has left it: the server goes on alone."""
    process.send_signal(signal.SIGKILL)
    return Then.SEND


def terminate(lab: Lab, database: str, _process: Process) -> Then:
    """Terminate the backend before the request reaches it."""
    with lab.connect() as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s "
            "AND application_name LIKE 'aoc-migrate %%' AND application_name NOT LIKE 'aoc-migrate watch %%'",
            [database],
        )
    return Then.PASS


def cut(_lab: Lab, _database: str, _process: Process) -> Then:
    """Cut the connection once the server has answered, so that the answer is lost."""
    return Then.ANSWERED


def restart(lab: Lab, _database: str, _process: Process) -> Then:
    """Let the server crash and come back before the request reaches it."""
    lab.restart()
    return Then.PASS


FAULTS: tuple[Fault, ...] = (kill, kill_after_sending, terminate, cut, restart)


def _reported(scenario: Scenario, ran: Ran | None) -> bool:
    """Return whether a broken relative downgrade had reported its end: to repeat it would be one more step."""
    ended = ran is not None and ran.out.startswith(("PASSED downgrade", "HELD downgrade"))
    return "-1" in scenario.words and ended


def end(process: Process) -> Ran:
    """Wait for the end of a command."""
    out, err = process.communicate(timeout=120)
    return Ran(process.wait(), out, err)
