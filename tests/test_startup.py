"""What a start loads, and how often an upgrade with nothing to do queries the server: counted, never timed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from aoc_migrate.cli import COMMANDS
from aoc_migrate.errors import Abort
from aoc_migrate.revisions import graph
from tests.conftest import ROOT, Aoc, Database
from tests.helpers import wait_until

EMPTY = "import click\n\n@click.command()\ndef empty():\n    'Do nothing.'\n\nempty()\n"
STARTING = {"aoc_migrate.__main__", "atexit", "gc", "runpy", "signal", "importlib._abc", "importlib.util"}
STARTED = {"aoc_migrate", "aoc_migrate.cli", "aoc_migrate.cli.streams"}
ERRORS = {"aoc_migrate.errors", "aoc_migrate.report", "aoc_migrate.report.model", "aoc_migrate.report.messages"}
ERRORS |= {"aoc_migrate.report.fields"}
GOLDEN = ROOT / "tests" / "golden"
OTHERS = {"org", "typing_extensions"}  # asked for by the standard library, and by psycopg for some Pythons
HEAVY = {
    "jinja2",
    "rich",
    "prometheus_client",
    "sqlalchemy",
    "alembic",
    "mako",
    "aoc_migrate_revisions",
    "difflib",
}


@pytest.fixture(params=["concelier", "excititor"])
def migrated(request: pytest.FixtureRequest, aoc: Aoc) -> Database:
    """Each target's database in turn, configured and at head."""
    database: Database = request.getfixturevalue(request.param)
    aoc.configure(database)
    assert aoc("upgrade").exit_code == 0
    return database


def loaded(command: list[str], environment: dict[str, str]) -> set[str]:
    """Run Python and return the modules that it loaded."""
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", *command], env=environment, capture_output=True, text=True, check=True
    )
    return set(re.findall(r"^import time:.*\| +(\S+)$", ran.stderr, re.MULTILINE))


def ours(modules: set[str]) -> set[str]:
    """Return the modules of the package, but for the texts of findings."""
    return {m for m in modules if m.startswith("aoc_migrate") and not m.startswith("aoc_migrate.report.messages.")}


def expected(words: str, modules: set[str]) -> list[str]:
    """Return the golden list of what these words load, which AOC_UPDATE_GOLDENS=1 rewrites."""
    path = GOLDEN / f"modules.{words.removeprefix('--')}.txt"
    if os.environ.get("AOC_UPDATE_GOLDENS") == "1":
        path.write_text("".join(f"{name}\n" for name in listed(modules)), encoding="utf-8")
    return path.read_text(encoding="utf-8").splitlines()


def listed(modules: set[str]) -> list[str]:
    """Return the modules of the package, and the libraries by name."""
    names = {module.partition(".")[0] for module in modules} - sys.stdlib_module_names - {"aoc_migrate"}
    return sorted(ours(modules) | {name for name in names if not name.startswith(("_", "psycopg_"))} - OTHERS)


@pytest.mark.parametrize("words", ["--help", "upgrade", "wait"])
def test_commands_load_only_the_golden_modules(words: str, migrated: Database, aoc: Aoc) -> None:
    """The help, and upgrade and wait at head, load what the golden list says: no library that only a few need."""
    floor = loaded(["-c", "pass"], aoc.env())
    modules = loaded(["-m", "aoc_migrate", words], aoc.env()) - floor

    assert listed(modules) == expected(words, modules)
    assert not {module.partition(".")[0] for module in modules} & HEAVY


def test_help_loads_nothing(aoc: Aoc, tmp_path: Path) -> None:
    """Beyond what an empty click program loads, --help loads the list of commands and the handling of signals."""
    empty = tmp_path / "empty.py"
    empty.write_text(EMPTY)

    floor = loaded([str(empty), "--help"], aoc.env())
    more = loaded(["-m", "aoc_migrate", "--help"], aoc.env()) - floor

    assert "click" in floor
    assert more <= STARTED | STARTING


@pytest.mark.parametrize("words", ["--version", "upgrade --help", "audit --help", "sandbox --help"])
def test_help_of_a_command_loads_little(words: str, aoc: Aoc) -> None:
    """The help of a command loads that command alone, and no database driver."""
    modules = loaded(["-m", "aoc_migrate", *words.split()], aoc.env())

    shared = ("call", "command", "options", "output", "param_types")
    own = {f"aoc_migrate.cli.{name}" for name in (*words.split(), *shared)}
    assert ours(modules) <= STARTED | ERRORS | own | {"aoc_migrate.__main__"}
    assert not {m.partition(".")[0] for m in modules} & {"sqlalchemy", "alembic", "psycopg"}


def test_ending_searches_no_garbage(aoc: Aoc) -> None:
    """When a command ends, what it had loaded is frozen: Python does not search it for garbage."""
    last = (
        "import atexit, gc, sys; atexit.register(lambda: print(gc.get_freeze_count() > len(gc.get_objects()))); "
    )
    start = "from aoc_migrate.cli import main; sys.argv[1:] = ['--version']; main()"

    ran = subprocess.run(
        [sys.executable, "-c", last + start], env=aoc.env(), capture_output=True, text=True, check=True
    )

    assert ran.stdout.splitlines()[-1] == "True"


def test_commands_are_the_modules_with_a_line_each() -> None:
    """Each command is a module of its name in cli/, and its line fits into 80 columns."""
    helpers = {"__init__", "call", "command", "options", "output", "param_types", "row_options"} | {
        "steering_options",
        "streams",
        "telemetry",
    }
    widest = max(map(len, COMMANDS))

    modules = {path.stem for path in (ROOT / "aoc_migrate" / "cli").glob("*.py")} - helpers
    assert modules == {name.replace("-", "_") for name in COMMANDS}
    for line in COMMANDS.values():
        assert line.endswith(".")
        assert 2 + widest + 2 + len(line) <= 80


def test_an_upgrade_with_nothing_to_do_takes_few_transactions(migrated: Database, aoc: Aoc) -> None:
    """At head, an upgrade takes at most 22 transactions, and wait at most 10."""
    known = migrated.connection.info
    query = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %s"
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'aoc-migrate%%'"
    with psycopg.connect(known.dsn, password=known.password, dbname="postgres", autocommit=True) as other:

        def seen(query: str) -> int:
            (number,) = other.execute(query.encode(), (known.dbname,)).fetchone() or (0,)
            return int(number)

        def asked(verb: str) -> int:
            before = seen(query)
            assert aoc(verb).exit_code == 0
            wait_until(lambda: seen(sessions) == 0)
            return seen(query) - before - 1  # a session begins with a transaction of its own

        found = {verb: min(asked(verb) for _ in range(2)) for verb in ("upgrade", "wait")}  # autovacuum adds to it

    assert found["upgrade"] <= 22
    assert found["wait"] <= 10


@pytest.mark.parametrize("target", ["concelier", "excititor"])
def test_reading_a_revision_agrees_with_loading_it(target: str) -> None:
    """What is read from the source of each revision is what the loaded module has."""
    revisions = graph.history(target)

    assert len(revisions) == len(list((ROOT / "migrations" / target).glob("[a-z]*.py")))
    for read in revisions:
        module = read.module
        assert (read.id, read.down) == (module.revision, module.down_revision)
        assert read.title == (module.__doc__ or "").splitlines()[0]
        assert (read.part, read.removable) == (module.part, getattr(module, "removable", False))
        assert read.completes is getattr(module, "completes", None)
        assert read.swap is getattr(module, "swap", None)


UNREADABLE = [
    "part = Part.NONE",
    "part = Part(1)",
    "part = None",
    "part = 1",
    "part = gone",
    "swap = swap_of(1)",
    '"',
]


@pytest.mark.parametrize("line", UNREADABLE)
def test_an_unreadable_revision_is_refused(line: str, tmp_path: Path) -> None:
    """What is not Python, a constant or an imported name is refused, with the file named."""
    path = tmp_path / "x.py"
    path.write_text(
        '"""Title."""\nfrom aoc_migrate.contract.v1 import Part\n'
        f'revision = "x"\ndown_revision = None\npart = Part.GUARD\n{line}\n'
    )

    with pytest.raises(Abort, match=r"x\.py is not a valid revision"):
        graph._read(path)
