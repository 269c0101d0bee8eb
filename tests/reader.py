"""A reader of the documents: types their commands, in order, into a shell at a server as a page finds it."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from aoc_migrate.sandbox.databases import RAW_TABLES, create_legacy_advisory, create_raw_table
from aoc_migrate.sandbox.server import Server
from aoc_migrate.sandbox.synthetic import load_synthetic
from tests.conftest import ROOT
from tests.forks import PROGRAMS, place

Lines = dict[int, str]
"""Lines of a page by their numbers, from 1."""

OWNER = "stella"
PASSWORD = "a password of the tests"
RETROFIT = "AOC_ALLOW_SUPERSEDES_RETROFIT=true"
_ROLES = f"""
CREATE ROLE postgres LOGIN SUPERUSER PASSWORD '{PASSWORD}';
CREATE ROLE {OWNER} LOGIN CREATEROLE CREATEDB PASSWORD '{PASSWORD}';
GRANT pg_monitor TO {OWNER};
"""
_PROMISED = re.compile(r"# exit code (\d+)")
_BEFORE = """
unset BASH_ENV
set -o pipefail
ended() {
    echo "$2 $1" >> "$AOC_CODES"
    case " $AOC_PROMISED " in *" $2:$1 "*) ;; *) exit "$1" ;; esac
}
trap 'echo "[$LINENO] $BASH_COMMAND"' DEBUG
trap 'ended $? $LINENO' ERR
"""


def promised(lines: Lines) -> dict[int, int]:
    """Return the exit codes other than 0 that the lines of a page promise, by line."""
    return {number: int(found[1]) for number, line in lines.items() if (found := _PROMISED.search(line))}


@dataclass
class Reader:
    """A reader with a server, a folder with files of the checkout, and variables of a shell."""

    server: Server
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def substitutes(self) -> dict[str, str]:
        """Return what pages print, and what is there in its place here. Nothing else differs."""
        return {
            "db.example/": f"127.0.0.1:{self.port}/",
            "/var/tmp/": f"{self.folder}/",
            "/var/lib/node_exporter/textfile/": f"{self.folder}/",
            "/run/secrets/": f"{self.folder}/secrets/",
        }

    @property
    def port(self) -> str:
        """The port of the server."""
        return self.server.url("").rpartition(":")[2].rstrip("/")

    def connect(self, database: str, user: str = "postgres") -> psycopg.Connection[Any]:
        """Return a connection in autocommit."""
        place = f"host=127.0.0.1 port={self.port} dbname={database} user={user} password='{PASSWORD}'"
        return psycopg.connect(place, application_name="an application", autocommit=True)

    def run(self, statement: str, database: str = "concelier") -> Any:
        """Run one statement as a superuser; return the first column of its first row, if it has rows."""
        with closing(self.connect(database)) as connection:
            cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None

    def environment(self) -> dict[str, str]:
        """Return the environment of the shell: our programs, PostgreSQL's, and libpq's variables for psql."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AOC_", "PG", "CONCELIER", "EXCITITOR"))}
        programs = [str(Path(sys.executable).parent), str(self.server.binaries), kept["PATH"]]
        libpq = {"PGHOST": "127.0.0.1", "PGPORT": self.port, "PGUSER": OWNER, "PGPASSWORD": PASSWORD}
        return kept | libpq | {"PATH": os.pathsep.join(programs)} | self.variables

    def start(self, *words: str, **more: str) -> subprocess.Popen[str]:
        """Start aoc-migrate on concelier, allowed to write links."""
        allowed = dict([RETROFIT.split("=")])
        return subprocess.Popen(
            ["aoc-migrate", *words],
            cwd=self.folder,
            env=self.environment() | self.urls() | allowed | more,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def done(self, *words: str, exit_code: int = 0) -> None:
        """Run aoc-migrate to its end, which must be as expected."""
        process = self.start(*words)
        printed = process.communicate(timeout=60)
        assert process.returncode == exit_code, printed

    def urls(self) -> dict[str, str]:
        """Return the variables that name the databases."""
        return {f"{t.upper()}_DATABASE_URL": f"postgresql://{OWNER}@127.0.0.1:{self.port}/{t}" for t in RAW_TABLES}

    def type(self, lines: Lines, here: Mapping[str, str]) -> tuple[dict[int, int], str]:
        """Type lines into one shell; return the exit codes other than 0 by line, and what was printed.

        Each line keeps its number, so that what is found is found in the page. An exit code that its line does not
        promise ends the shell. ``here`` adds to the substitutes.
        """
        text = "\n".join(lines.get(number, "") for number in range(1, max(lines) + 1)) + "\n"
        for printed, there in (self.substitutes() | dict(here)).items():
            text = text.replace(printed, there)
        before, typed, codes = (self.folder / "secrets" / name for name in ("before", "typed", "codes"))
        before.write_text(_BEFORE, encoding="utf-8")
        typed.write_text(text, encoding="utf-8")
        codes.write_text("", encoding="utf-8")
        promises = " ".join(f"{number}:{code}" for number, code in promised(lines).items())
        shell = {"BASH_ENV": str(before), "AOC_CODES": str(codes), "AOC_PROMISED": promises}
        environment = self.environment()
        environment |= {"PATH": f"{PROGRAMS}{os.pathsep}{environment['PATH']}"} | place()
        ran = subprocess.run(
            ["bash", typed],
            cwd=self.folder,
            env=environment | ({} if "export CONCELIER_DATABASE_URL" in text else self.urls()) | shell,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            text=True,
            timeout=120,
        )
        found = (line.split() for line in codes.read_text(encoding="utf-8").splitlines())
        return {int(number): int(code) for number, code in found}, ran.stdout


def prepare_server(server: Server) -> None:
    """Create the roles: the owner of the tables, who is not a superuser, and a superuser."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(_ROLES.encode())


def arrive(server: Server, folder: Path, base: str) -> Reader:
    """Return a reader in a new folder, with both databases new.

    ``base`` is ``clean`` (before the contract, with rows that lack nothing but links), ``dirty`` (the same, with
    rows that break rules, and duplicates) or ``head``. Each is made once, and copied for every reader.
    """
    for name in ("alembic.ini", "migrations", "scripts"):
        (folder / name).symlink_to(ROOT / name)
    for script in (ROOT / "scripts").glob("*.sql"):
        shutil.copy(script, folder)
    (folder / "secrets").mkdir()
    (folder / "secrets" / "verifier").write_text(PASSWORD, encoding="utf-8")
    reader = Reader(server, folder)
    _create(reader, base)
    return reader


def _create(reader: Reader, base: str) -> None:
    """Create both databases, by copying those of ``base``, which the first reader makes."""
    for target, table in RAW_TABLES.items():
        reader.run(f"DROP DATABASE IF EXISTS {target} WITH (FORCE)", "postgres")
        copy = f"{target}_{base}"
        known = reader.run(f"SELECT true FROM pg_database WHERE datname = '{copy}'", "postgres")
        if known or base != "head":
            template = copy if known else "template1"
            reader.run(f"CREATE DATABASE {target} OWNER {OWNER} TEMPLATE {template}", "postgres")
        if not known and base != "head":
            _fill(reader, target, table, dirty=base == "dirty")
            reader.run(f"CREATE DATABASE {copy} TEMPLATE {target}", "postgres")
    if not known and base == "head":
        _create(reader, "clean")
        reader.done("upgrade")
        for target in RAW_TABLES:
            reader.run(f"CREATE DATABASE {target}_head TEMPLATE {target}", "postgres")


def _fill(reader: Reader, target: str, table: str, *, dirty: bool) -> None:
    with closing(reader.connect(target)) as connection:
        create_raw_table(connection, table)
        if target == "concelier":
            create_legacy_advisory(connection)
            connection.execute(f"GRANT stella_concelier TO {OWNER}".encode())
            connection.execute("GRANT CREATE ON SCHEMA public TO stella_concelier")
        connection.execute(sql.SQL("ALTER TABLE {} OWNER TO {}").format(*map(sql.Identifier, (table, OWNER))))
        load_synthetic(connection, table, 400, duplicates=2 * dirty, violations=14 * dirty)
        connection.execute(f"ANALYZE {table}".encode())


def leave(reader: Reader) -> None:
    """Drop what a page may have made that belongs to no database of ours."""
    for role in reader.run("SELECT array_agg(rolname) FROM pg_roles WHERE rolname = 'stella-aoc-verify'") or []:
        for target in RAW_TABLES:
            reader.run(f'DROP OWNED BY "{role}"', target)
        reader.run(f'DROP ROLE "{role}"')
    for restored in ("restored", "concelier_copy"):
        reader.run(f"DROP DATABASE IF EXISTS {restored} WITH (FORCE)", "postgres")
    reader.run(f"ALTER ROLE {OWNER} RESET ALL")
