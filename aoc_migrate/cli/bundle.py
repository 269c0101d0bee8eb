"""`aoc-migrate bundle`."""

import sys
from pathlib import Path

import click

from aoc_migrate.cli.command import GroupedHelp
from aoc_migrate.cli.output import Output


@click.command(cls=GroupedHelp)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    help="Include wheels for this platform (pip's tag). May be repeated, for other machines too.",
)
@click.option(
    "--python-version", metavar="X.Y", help="Include wheels for this Python version. Default: the running one."
)
@click.option("--no-wheels", is_flag=True, help="Leave out the wheels, for sites that use psql alone.")
@click.option(
    "--wheel", type=click.Path(path_type=Path), help="Use this wheel of aoc-migrate if no index has one."
)
@click.option(
    "--report",
    "reports",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Include a verification report. May be repeated.",
)
@click.option(
    "--sign-command",
    metavar="COMMAND",
    help="Run this command to sign SHA256SUMS; the file name is its last argument.",
)
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
    """Write the Offline Kit to DIR: psql scripts, wheels, docs, SBOM, manifest, checksums and a README.

    For sites without a network. pip's own settings decide where wheels come from. The same input gives the same
    bytes. At the site, sha256sum checks the files, and pip installs only wheels whose hashes are pinned in
    requirements.txt.

    \b
    aoc-migrate bundle kit --platform manylinux2014_x86_64 --python-version 3.12
    aoc-migrate bundle kit --no-wheels --report verify.html
    aoc-migrate bundle kit --sign-command "gpg --armor --detach-sign"
    """
    from aoc_migrate.kit.bundle import Kit, write_bundle
    from aoc_migrate.report.model import Report

    if no_wheels and (platforms or python_version or wheel):
        raise click.UsageError("--no-wheels cannot be combined with --platform, --python-version or --wheel.")
    if str(folder) == "-":
        raise click.UsageError("A bundle is a folder and cannot go to stdout: name one.")
    output.check()
    report = Report(str(folder))
    write_bundle(folder, Kit(not no_wheels, platforms, python_version, wheel, reports, sign_command), report)
    report.end()
    sys.exit(output.write("bundle", [report])[0])
