"""Command lines: every command, and options of every kind with hostile values."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import click
from hypothesis import strategies as st

from aoc_migrate.cli import COMMANDS, cli
from tests.conftest import ROOT, Aoc, Database
from tests.fuzzing.configuration import HOSTILE, PASSWORD, SECRET, URLS, WORD, role, said
from tests.fuzzing.place import RETROFIT, Place, commands, legacy, passes

Words = tuple[str, ...]
LONG = ["591h", "1h30m", "1d"]
TIMES = st.sampled_from(["1ms", "100ms", "1s", "0s", "-1s", "1", "soon", "0.5s", "\uff11s", *LONG])
USUAL: dict[str, st.SearchStrategy[str]] = {
    "duration": TIMES,
    "percent": st.sampled_from(["100%", "50%", "0%", "101%", "50", "NaN%", "-1%"]),
    "lag": st.sampled_from(["off", "1GB", "10s", "64MB,10s", "1XB", ",", "1GB,", "0", "99999999999TB"]),
    "size": st.sampled_from(["20GB", "1kB", "0GB", "-1GB", "9" * 400 + "GB", "GB"]),
    "number": st.sampled_from(["1", "0", "-1", "99999999999999999999", "x", "\uff11"]),
    "integer": st.sampled_from(["1", "0", "-1", "99999999999999999999", "x", "1_0", "\uff11"]),
    "integer range": st.sampled_from(["1", "0", "-1", "500", "99999999999999999999", "x", "1_0"]),
    "sql": PASSWORD.map(lambda text: f"SELECT false -- {text}")
    | PASSWORD
    | st.sampled_from(["", "SELECT 1; SELECT 2"]),
    "url": PASSWORD.map(lambda text: f"http://u:{text}@127.0.0.1:1") | HOSTILE,
    "text": HOSTILE | WORD,
    "ticket": HOSTILE | WORD,
    "file": st.sampled_from(["out.json", "no/such/out", "/dev/full", ".", "", "-", "\n", "ü", "out.json/x"]),
    "directory": st.sampled_from(["folder", "no/such/folder", "/dev/null", ".", "", "\n"]),
}
SECRETS = {"--copy": URLS, "--throttle-query": USUAL["sql"], "--push-gateway": USUAL["url"]}
NAMES = st.sampled_from(
    ["concelier", "excititor", "concelierr", "head", "base", "-1", "+1", "concelier_0004", "heads"]
)
KINDS = ["legacy", "at head", "held"]
NEVER = {("sandbox", "start"), ("sandbox", "load"), ("sandbox", "stop")}
"""What starts, fills and stops servers of its own."""


@cache
def known() -> dict[Words, list[click.Parameter]]:
    """Return every command and subcommand with its parameters."""
    found: dict[Words, list[click.Parameter]] = {}
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        found[name,] = command.params
        if isinstance(command, click.Group):
            found |= {(name, sub): each.params for sub, each in command.commands.items()}
    return {words: params for words, params in found.items() if words not in NEVER}


def _option(option: click.Parameter) -> st.SearchStrategy[Words]:
    name = st.sampled_from([*option.opts, *option.secondary_opts])
    if getattr(option, "is_flag", False):
        return name.map(lambda word: (word,))
    longest = max(option.opts, key=len)
    usual = USUAL.get(option.type.name, USUAL["text"])
    if isinstance(option.type, click.Choice):
        usual = st.sampled_from([*map(str, option.type.choices), "nonsense"])
    values = SECRETS.get(longest, usual)
    return st.tuples(name, values) | st.tuples(name, values).map(lambda pair: (f"{pair[0]}={pair[1]}",))


@st.composite
def lines(draw: st.DrawFn) -> Words:
    """Draw a command line."""
    command = draw(st.sampled_from(sorted(known())))
    options = [p for p in known()[command] if isinstance(p, click.Option) and "--help" not in p.opts]
    chosen = draw(st.lists(st.sampled_from(options), max_size=3)) if options else []
    words = [draw(_option(option)) for option in chosen]
    words += [(word,) for word in draw(st.lists(NAMES, max_size=2) | st.lists(NAMES | HOSTILE | WORD, max_size=3))]
    drawn = [word for part in draw(st.permutations(words)) for word in part]
    given = [word.partition("=")[2] for word in drawn if "timeout" in word] or LONG
    endless = command == ("wait",) and any(word in LONG for word in (*drawn, *given))
    return (*command, *drawn, *(["--timeout", "200ms"] if endless else []))


EXAMPLES = st.tuples(st.sampled_from(KINDS), lines())


def at_head(database: Database) -> None:
    """Make a database at head, with rows in quarantine."""
    legacy(database)
    database.add("1")
    database.add("2", tenant=None)
    aoc = commands(database)
    passes(aoc, "repair", database.target, "--rule", "all", "--apply")
    passes(aoc, "upgrade")


def held(database: Database) -> None:
    """Make a database that a rollback holds."""
    at_head(database)
    passes(commands(database), "downgrade", database.target, "-1")


MAKE = {"legacy": legacy, "at head": at_head, "held": held}


def check(place: Place, example: tuple[str, Words]) -> None:
    """A command line ends with a documented exit code, without traceback or secret."""
    kind, words = example
    if any("\0" in word for word in words):
        return
    with place.clone("concelier", f"{kind} concelier", MAKE[kind]) as database, elsewhere() as folder:
        aoc = Aoc({"CONCELIER_DATABASE_URL": database.url_as(*role(place))} | RETROFIT)
        aoc.environment |= {"AOC_SANDBOX_DIR": str(folder / "sandbox"), "PIP_NO_INDEX": "1"}
        aoc.environment |= {"AOC_VERIFIER_USER": "fuzz_verify", "AOC_TERMINATION_LOG": str(folder / "log")}
        if words[0] == "revision":
            in_a_copy(folder, aoc, words)
            return
        ran = said(aoc, *words)
        if {"json", "ndjson"} & {*words} == {"json"} and ran.out.startswith("{"):
            assert ran.json.get("exit_code", ran.exit_code) == ran.exit_code


def in_a_copy(folder: Path, aoc: Aoc, words: Words) -> None:
    """Run a command that writes into its checkout, in a copy of the checkout."""
    for name in ("aoc_migrate", "migrations"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "alembic.ini", folder)
    process = aoc.start(*words, PYTHONPATH=str(folder))
    out, err = process.communicate(timeout=60)
    assert process.returncode in (0, 2), out + err
    assert "Traceback" not in err and "AOC_DEBUG" not in err and SECRET not in out + err, err


@contextmanager
def elsewhere() -> Iterator[Path]:
    """Run the block in a new folder."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="aoc", dir="/tmp") as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)
