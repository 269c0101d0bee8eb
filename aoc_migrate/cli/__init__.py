"""The command line: one file per command, loaded when it is called."""

import atexit
import gc
import importlib
import io
import signal
import sys
from types import FrameType
from typing import NoReturn

import click

from aoc_migrate import __version__

# In the order in which one uses them, with the line that `aoc-migrate --help` shows without loading them.
COMMANDS = {
    "audit": "Find what would stop an upgrade. Read-only.",
    "plan": "Tell what an upgrade would run, or print it for psql.",
    "repair": "Repair rows that break a rule, or move them into quarantine.",
    "dedupe": "Show duplicate rows; move the surplus into quarantine.",
    "upgrade": "Audit, migrate online, put back what is missing, verify.",
    "verify": "Check that the contract stands. Read-only.",
    "status": "Tell where a target stands.",
    "wait": "Wait until the database is at head.",
    "history": "Show who ran what, when, with what outcome.",
    "downgrade": "Undo revisions, and hold there.",
    "constraints": "Remove the constraints when ingestion breaks.",
    "chain": "Show late or broken supersedes links; link them anew.",
    "quarantine": "List and export what is in quarantine.",
    "verifier": "Make, check and drop the read-only role of verification.",
    "bundle": "Write the Offline Kit.",
    "sandbox": "Run a throwaway PostgreSQL with both databases.",
    "revision": "Write the file of a new revision, in a checkout.",
}


class Lazy(click.Group):
    """A group whose commands are the modules of this package, each loaded when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which one uses them."""
        return list(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load the module of a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"aoc_migrate.cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="aoc-migrate")
def cli() -> None:
    """Put the Aggregation-Only Contract into the databases concelier and excititor, and take it back.

    \b
    export CONCELIER_DATABASE_URL=postgresql://stella@db/concelier
    aoc-migrate audit concelier      what would stop the upgrade; read-only
    aoc-migrate upgrade concelier    audit, migrate online, verify
    aoc-migrate downgrade -1         take the last revision back, and hold there

    \b
    Exit codes:
      0    clean; warnings do not count
      1    findings; the part that found them changed nothing
      2    wrong usage or configuration
      3    try again later: unreachable, lock or deadline
      4    failed half way, or done but verify failed; what stands and what to type is printed
      130  ended by SIGINT
      143  ended by SIGTERM
    """


def main() -> NoReturn:
    """Run the command line; errors become one sentence on stderr and an exit code."""
    signal.signal(signal.SIGTERM, _ended)
    signal.signal(signal.SIGINT, _ended)
    for stream in (sys.__stdout__, sys.__stderr__):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a character must not lose the report
            stream.reconfigure(errors="backslashreplace")
    atexit.register(gc.freeze)  # Python would search all that was loaded for garbage before it ends
    try:
        cli(prog_name="aoc-migrate", standalone_mode=True)
    except Exception as error:  # noqa: BLE001  (a traceback could show secrets and rows)
        from aoc_migrate.errors import Abort, unexpected
        from aoc_migrate.report.formatting import plain

        told = error if isinstance(error, Abort) else unexpected(error)
        sys.stderr.write(f"aoc-migrate: {plain(str(told))}\n")
        sys.exit(told.exit_code)
    sys.exit(0)


def _ended(number: int, _frame: FrameType | None) -> NoReturn:
    """End by SystemExit: it is what makes psycopg cancel the statement that is running."""
    sys.stderr.write(f"aoc-migrate: ended by {signal.Signals(number).name}; run the same command to go on\n")
    raise SystemExit(128 + number)
