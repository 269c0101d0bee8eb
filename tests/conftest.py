"""Real PostgreSQL for every test: one server a session, one database a test, cloned from a template."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.json import Jsonb
from pytest_postgresql import factories

from aoc_migrate.sandbox.databases import create_legacy_advisory, create_raw_table
from tests.forks import Process
from tests.passwords import hurry_passwords
from tests.sampling import pytest_collection_modifyitems  # noqa: F401  (a hook)
from tests.servers import die_with_parent, running_server

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data"


def pytest_configure() -> None:
    """End a worker of pytest-xdist with its controller."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        die_with_parent()


@pytest.fixture(scope="session")
def pg_server() -> Iterator[SimpleNamespace]:
    """A private server, or the one that AOC_TEST_SERVER_URL names (a superuser's URL)."""
    if given := os.environ.get("AOC_TEST_SERVER_URL"):
        yield _endpoint(given)
        return
    with running_server() as server:
        hurry_passwords(server.url("postgres"))
        yield _endpoint(server.url("postgres"))


def _endpoint(url: str) -> SimpleNamespace:
    known = {"password": ""} | conninfo_to_dict(url)
    kept = {name: known[name] for name in ("host", "user", "password")}
    port = int(str(known["port"]))
    return SimpleNamespace(**kept, port=port, options="", maintenance_dbname="postgres", template_dbname=None)


def load_concelier(**conninfo: Any) -> None:
    """Fill the template of concelier: a legacy raw table, and the legacy table with its dependents."""
    with psycopg.connect(**conninfo) as connection:
        create_raw_table(connection, "advisory_raw")
        create_legacy_advisory(connection)


def load_excititor(**conninfo: Any) -> None:
    """Fill the template of excititor: a legacy raw table."""
    with psycopg.connect(**conninfo) as connection:
        create_raw_table(connection, "vex_raw")


concelier_template = factories.postgresql_noproc(depends_on="pg_server", dbname="concelier", load=[load_concelier])
excititor_template = factories.postgresql_noproc(depends_on="pg_server", dbname="excititor", load=[load_excititor])
empty_template = factories.postgresql_noproc(depends_on="pg_server", dbname="empty", load=[])
concelier_connection = factories.postgresql("concelier_template")
excititor_connection = factories.postgresql("excititor_template")
empty_connection = factories.postgresql("empty_template")


@dataclass
class Database:
    """A test's own database: a connection in autocommit, and the URL for other processes."""

    connection: psycopg.Connection[Any]
    table: str
    target: str

    @property
    def url(self) -> str:
        """The libpq URL of the test superuser."""
        return self.url_as(self.connection.info.user, self.connection.info.password)

    def url_as(self, user: str, password: str = "") -> str:
        """The libpq URL for another role; the password is percent-encoded."""
        info = self.connection.info
        secret = f":{quote(password, safe='')}" if password else ""
        return f"postgresql://{quote(user, safe='')}{secret}@{info.host}:{info.port}/{quote(info.dbname, safe='')}"

    def rows(self, sql: Any, parameters: Any = None) -> list[Any]:
        """Return the rows of a query as tuples."""
        return self.connection.execute(sql, parameters).fetchall()

    def value(self, sql: Any, parameters: Any = None) -> Any:
        """Return the first column of the first row."""
        row = self.connection.execute(sql, parameters).fetchone()
        return row[0] if row else None

    def run(self, sql: Any, parameters: Any = None) -> None:
        """Run one statement, or several without parameters."""
        self.connection.execute(sql, parameters)

    def add(self, id_: str, **values: Any) -> None:
        """Insert a good row (one document of one vendor), with ``values`` in place of the usual ones."""
        row: dict[str, Any] = {
            "id": id_,
            "tenant": "default",
            "source_vendor": "osv",
            "upstream_id": "CVE-2025-0001",
            "content_hash": f"sha256:{abs(hash(id_)):064x}"[:71],
            "retrieved_at": "2025-01-01T00:00:00Z",
            "source": {"vendor": "osv"},
            "upstream": {},
            "linkset": {},
            "content": {"format": "OSV", "raw": {"severity": []}},
        } | values
        adapted = [Jsonb(v) if isinstance(v, dict | list) else v for v in row.values()]
        names = psycopg.sql.SQL(", ").join(map(psycopg.sql.Identifier, row))
        marks = psycopg.sql.SQL(", ").join([psycopg.sql.Placeholder()] * len(row))
        statement = psycopg.sql.SQL("INSERT INTO {} ({}) VALUES ({})")
        self.run(statement.format(psycopg.sql.Identifier(self.table), names, marks), adapted)


def _database(connection: psycopg.Connection[Any], target: str) -> Database:
    connection.autocommit = True
    return Database(connection, {"concelier": "advisory_raw", "excititor": "vex_raw"}[target], target)


@pytest.fixture
def concelier(concelier_connection: psycopg.Connection[Any]) -> Database:
    """A legacy concelier database: empty advisory_raw, legacy advisory with grants and a dependent view."""
    return _database(concelier_connection, "concelier")


@pytest.fixture
def excititor(excititor_connection: psycopg.Connection[Any]) -> Database:
    """A legacy excititor database: empty vex_raw."""
    return _database(excititor_connection, "excititor")


@pytest.fixture
def empty_database(empty_connection: psycopg.Connection[Any]) -> Database:
    """A database without any table, used as concelier's."""
    return _database(empty_connection, "concelier")


@dataclass
class Ran:
    """What a process returned: exit code, stdout, stderr."""

    exit_code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Stdout as JSON."""
        return json.loads(self.out)

    @property
    def report(self) -> Any:
        """The only report."""
        (report,) = self.json["reports"]
        return report

    def slugs(self, severity: str | None = None) -> list[str]:
        """The slugs of the only report's findings, of one severity or all."""
        return [f["slug"] for f in self.report["findings"] if severity in (None, f["severity"])]

    def finding(self, slug: str) -> Any:
        """The only finding with that slug."""
        (finding,) = [f for f in self.report["findings"] if f["slug"] == slug]
        return finding


@dataclass
class Aoc:
    """Runs ``python -m aoc_migrate`` as a real process, with only the environment that a test gives."""

    environment: dict[str, str] = field(default_factory=dict)

    def configure(self, *databases: Database) -> None:
        """Point the targets' URLs at test databases."""
        for database in databases:
            self.environment[f"{database.target.upper()}_DATABASE_URL"] = database.url

    def env(self, **more: str) -> dict[str, str]:
        """The environment of a process: nothing of the developer's own configuration."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AOC_", "PG", "CONCELIER", "EXCITITOR"))}
        return kept | {"PYTHONPATH": str(ROOT)} | self.environment | more

    def start(self, *words: str, **more: str) -> Process:
        """Start the command without the wait for its imports; tests/forks.py says when that will do."""
        return Process("aoc_migrate", words, self.env(**more), Path.cwd())

    def spawn(self, *words: str, **more: str) -> subprocess.Popen[str]:
        """Start the command as a user does."""
        return subprocess.Popen(
            [sys.executable, "-m", "aoc_migrate", *words],
            env=self.env(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def __call__(self, *words: str, **more: str) -> Ran:
        """Run the command to its end, in a process of its own."""
        process = self.start(*words, **more)
        out, err = process.communicate(timeout=120)
        assert "Traceback" not in err + out, err
        return Ran(process.wait(), out, err)

    def json(self, *words: str, **more: str) -> Ran:
        """Run the command with ``--format json``."""
        return self(*words, "--format", "json", **more)


@pytest.fixture
def aoc() -> Aoc:
    """The command; configure it with the databases of the test."""
    return Aoc()


@pytest.fixture
def retrofit() -> dict[str, str]:
    """The environment that allows the backfill to write."""
    return {"AOC_ALLOW_SUPERSEDES_RETROFIT": "true"}


@pytest.fixture(scope="session")
def real_documents() -> Path:
    """The folder of real documents, which is not part of the repository."""
    if not DATA.is_dir():
        pytest.skip(f"no real documents: {DATA} is absent (they are not part of the repository)")
    return DATA


@pytest.fixture(params=["concelier", "excititor"])
def target_with_chain(request: pytest.FixtureRequest, aoc: Aoc) -> Database:
    """Each target's database in turn, configured, with a chain of three revisions."""
    chosen: Database = request.getfixturevalue(request.param)
    aoc.configure(chosen)
    for n in range(3):
        chosen.add(f"{n}", retrieved_at=f"2025-01-0{n + 1}T00:00:00Z")
    return chosen
