"""The command line: one file per command, imported when the command runs."""

import atexit
import gc
import importlib
import io
import os
import signal
import sys
from types import FrameType
from typing import Any, NoReturn

import click

from aoc_migrate import __version__
from aoc_migrate.cli.streams import ClosedPipe, guard_streams

GROUPS = {
    "Before": {
        "audit": "Find what would stop an upgrade. Read-only.",
        "plan": "Show what an upgrade would run, or print it for psql.",
        "repair": "Repair rows that break a rule, or move them to quarantine.",
        "dedupe": "Show duplicate rows; move the surplus to quarantine.",
        "rehearse": "Upgrade a restored copy, undo that, and prove the way back.",
    },
    "Migrate": {
        "upgrade": "Audit, migrate online, restore what is missing, verify.",
        "control": "Pause, resume or slow down a run that is under way.",
        "wait": "Wait until the database is at head.",
    },
    "After": {
        "verify": "Check what the current revision promises. Read-only.",
        "status": "Show where a target is.",
        "history": "Show who ran what, when, and how it ended.",
        "chain": "Show late or broken supersedes links; link them again.",
        "quarantine": "List and export what is in quarantine.",
    },
    "Roll back": {
        "downgrade": "Undo revisions, then hold the database there.",
        "constraints": "Remove the constraints when they break ingestion.",
    },
    "Set up": {
        "verifier": "Create, check and drop the read-only role for verification.",
        "bundle": "Write the Offline Kit.",
        "sandbox": "Run a throwaway PostgreSQL with both databases.",
        "explain": "Explain a finding in a report.",
        "config-path": "Print the path of alembic.ini, for stock Alembic.",
        "revision": "Create the file of a new revision, in a checkout.",
    },
}
"""The commands in the order of their use, with the line that `aoc-migrate --help` shows without importing them."""
COMMANDS = {name: line for group in GROUPS.values() for name, line in group.items()}
ALEMBIC_COMMANDS = {
    "check": "Run: aoc-migrate verify",
    "current": "Run: aoc-migrate status",
    "heads": "Run: aoc-migrate status",
    "show": "Run: aoc-migrate history",
    "stamp": "The version follows the catalog. Run: aoc-migrate status",
}
"""What to run instead of Alembic's commands."""


class LazyGroup(click.Group):
    """A group whose commands are the modules of this package, each imported when its command runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of their use."""
        return list(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by group, without importing them."""
        width = max(map(len, COMMANDS))
        for group, commands in GROUPS.items():
            with formatter.section(group):
                formatter.write_dl([(name.ljust(width), line) for name, line in commands.items()])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command and return the command."""
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        module = importlib.import_module(f"aoc_migrate.cli.{name}")
        command: click.Command = getattr(module, name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return a command; suggest others for an unknown name, unless the shell only asks for completions."""
        name = args[0]
        if name in COMMANDS or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        if name in ALEMBIC_COMMANDS:
            raise click.UsageError(f"No such command {name!r}. {ALEMBIC_COMMANDS[name]}", ctx)
        raise click.NoSuchCommand(name, possibilities=COMMANDS, ctx=ctx)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="aoc-migrate")
def cli() -> None:
    """Apply the Aggregation-Only Contract to the databases concelier and excititor, and roll it back.

    \b
    export CONCELIER_DATABASE_URL=postgresql://stella@db/concelier
    aoc-migrate audit concelier         find what would stop the upgrade; read-only
    aoc-migrate upgrade concelier       audit, migrate online, verify
    aoc-migrate downgrade concelier -1  undo the last revision, then hold it there

    \b
    Exit codes:
      0    clean; warnings do not count
      1    findings; the part that found them changed nothing
      2    wrong usage or configuration
      3    try again later: unreachable, lock or deadline
      4    failed half way, or done but verify failed: type what the report says
      130  ended by SIGINT
      143  ended by SIGTERM
    """


def main() -> NoReturn:
    """Run the command line. An error becomes one sentence on stderr and an exit code."""
    signal.signal(signal.SIGTERM, _ended)
    signal.signal(signal.SIGINT, _ended)
    for stream in (sys.__stdout__, sys.__stderr__):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a character must not lose the report
            stream.reconfigure(errors="backslashreplace")
    guard_streams()
    atexit.register(gc.freeze)  # otherwise Python runs a full garbage collection before it ends
    try:
        if log_format(sys.argv[1:]) == "json":
            from aoc_migrate.database.log import configure

            configure("json")
        _check_encoding(sys.argv[1:])
        code = cli(prog_name="aoc-migrate", standalone_mode=False)
    except ClosedPipe:
        sys.exit(0)
    except click.ClickException as error:
        _show(error)
        sys.exit(error.exit_code)
    except Exception as error:  # noqa: BLE001  (a traceback could show secrets and rows)
        sys.exit(_failed(error))
    sys.exit(code if isinstance(code, int) else 0)


def log_format(words: list[str]) -> str:
    """Return the format of the log, as typed or from the environment; wrong usage is written in it as well."""
    format_ = os.environ.get("AOC_LOG_FORMAT", "")
    for word, following in zip(words, [*words[1:], ""], strict=False):
        if word == "--":
            break
        name, _, value = word.partition("=")
        if name == "--log-format":
            format_ = value or following
    return format_


def _show(error: click.ClickException) -> None:
    """Write wrong usage as click does, or as one line of a log in JSON."""
    log = sys.modules.get("aoc_migrate.database.log")
    if log is not None and log.is_json():
        usage = error.ctx.get_usage() if isinstance(error, click.UsageError) and error.ctx else None
        log.sentence(error.format_message(), event="usage-error", usage=usage)
    else:
        error.show()


def _failed(error: Exception) -> int:
    """Write why the command ends; return the exit code. AOC_DEBUG adds the traceback of an unexpected error."""
    import traceback

    from aoc_migrate.database.log import is_json, sentence
    from aoc_migrate.errors import Abort, ended_before, unexpected

    if ended := ended_before(error):
        return int(ended.code or 0)
    abort = error if isinstance(error, Abort) else unexpected(error)
    fields: dict[str, Any] = {}
    if abort is not error and os.environ.get("AOC_DEBUG"):
        fields["traceback"] = "".join(traceback.format_exception(error))
        if not is_json():
            sys.stderr.write(fields["traceback"])
    sentence(str(abort), **fields)
    return abort.exit_code


def _check_encoding(words: list[str]) -> None:
    """Refuse bytes that are not UTF-8, which neither PostgreSQL nor a report could hold."""
    if _is_not_utf8("".join(words)):
        from aoc_migrate.errors import refused

        raise refused("An argument is not valid UTF-8.")
    if _is_not_utf8("".join(os.environ.values())):  # maybe in a variable that we do not read
        from aoc_migrate.database.targets import check_variables

        check_variables()


def _is_not_utf8(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _ended(number: int, _frame: FrameType | None) -> NoReturn:
    """Raise SystemExit, on which psycopg cancels the running statement."""
    name = signal.Signals(number).name
    message = f"ended by {name}; run the same command again to resume"
    sentence = getattr(sys.modules.get("aoc_migrate.database.log"), "sentence", None)
    if sentence is None:  # nothing can be imported here: the signal may have interrupted an import
        sys.stderr.write(f"aoc-migrate: {message}\n")
    else:
        sentence(message, event="signal", level="warning", signal=name)
    raise SystemExit(128 + number)
