"""`aoc-migrate verifier`."""

import click

from aoc_migrate.cli.command import Run, TargetCommand
from aoc_migrate.cli.options import ACCEPT, MAX_STALL, POOLER, WAITING
from aoc_migrate.cli.param_types import not_empty, password_of

CHANGE_OPTIONS = (MAX_STALL, *WAITING, POOLER)


@click.group()
def verifier() -> None:
    """Make, check and drop the read-only role that verification runs under.

    Its name is AOC_VERIFIER_USER (default: stella-aoc-verify). It may read the raw table and our own tables,
    and nothing else; its sessions are read-only.

    \b
    aoc-migrate verifier create concelier --password-file /run/secrets/verifier
    aoc-migrate verifier check
    """


@verifier.command(cls=TargetCommand, shared=CHANGE_OPTIONS)
@click.option(
    "--password-file",
    "password",
    metavar="FILE",
    callback=password_of,
    help="Its first line becomes the password; - reads it from stdin. Without it, the password stays as it is.",
)
@click.option(
    "--tenant",
    callback=not_empty,
    help="Let it see this tenant's rows only, until drop; needs row-level security.",
)
def create(run: Run, password: str | None, tenant: str | None) -> None:
    """Make the role, or bring it up to date: password (rotation), rights, policy; then check it.

    The password never leaves this process: the server gets its SCRAM-SHA-256 verifier. Needs a role that may
    create roles and owns the tables. Run it again after an upgrade that made tables.

    \b
    aoc-migrate verifier create concelier --password-file /run/secrets/verifier
    vault read -field=password stella/verifier | aoc-migrate verifier create --password-file -
    """
    from aoc_migrate.run.verifier import run_create

    run.verb(lambda session, report: run_create(session, report, password, tenant), stops=True)


@verifier.command(cls=TargetCommand, shared=(ACCEPT, POOLER))
def check(run: Run) -> None:
    """Prove that the role can read what it needs and do nothing else, by its rights and by trying.

    It tries to write and create as that role, in a transaction that is rolled back.

    \b
    aoc-migrate verifier check
    """
    from aoc_migrate.run.verifier import run_check

    run.verb(run_check)


@verifier.command(cls=TargetCommand, shared=CHANGE_OPTIONS)
def drop(run: Run) -> None:
    """Take the role's policies and rights away, and drop it unless another database still knows it.

    \b
    aoc-migrate verifier drop
    """
    from aoc_migrate.run.verifier import run_drop

    run.verb(run_drop, stops=True)
