"""`aoc-migrate bundle`."""

import sys
from pathlib import Path

import click

from aoc_migrate.cli.command import GroupedHelp
from aoc_migrate.cli.output import Output


@click.command(cls=GroupedHelp)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--platform", "platforms", multiple=True, help="Wheels for this platform (pip's tag); repeatable.")
@click.option("--python-version", metavar="X.Y", help="Wheels for this Python; default: the one that runs this.")
@click.option("--no-wheels", is_flag=True, help="For psql alone.")
@click.option("--wheel", type=click.Path(path_type=Path), help="The package's own wheel, where no index has it.")
@click.option(
    "--report",
    "reports",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A verification report to take along; repeatable.",
)
@click.option("--sign-command", metavar="COMMAND", help="Signs SHA256SUMS, whose name it gets as its last word.")
def bundle(
    output: Output,
    folder: Path,
    platforms: tuple[str, ...],
    python_version: str | None,
    no_wheels: bool,
    wheel: Path | None,
    reports: tuple[Path, ...],
    sign_command: str | None,
) -> None:
    """Write the Offline Kit into DIR: psql scripts, wheels, docs, SBOM, manifest, sums and a README.

    For sites without a network. pip's own settings say where wheels come from. The same input gives the same
    bytes. At the site, sha256sum checks them, and pip installs only wheels whose sums requirements.txt pins.

    \b
    aoc-migrate bundle kit --platform manylinux2014_x86_64 --python-version 3.12
    aoc-migrate bundle kit --no-wheels --report verify.html
    aoc-migrate bundle kit --sign-command "gpg --armor --detach-sign"
    """
    from aoc_migrate.kit.bundle import Kit, write_bundle
    from aoc_migrate.report.model import Report

    if no_wheels and (platforms or python_version or wheel):
        raise click.UsageError("--no-wheels leaves nothing for --platform, --python-version or --wheel to choose.")
    output.check()
    report = Report(str(folder))
    write_bundle(folder, Kit(not no_wheels, platforms, python_version, wheel, reports, sign_command), report)
    sys.exit(output.write("bundle", [report]))
