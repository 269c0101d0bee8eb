"""`aoc-migrate verifier`."""

import click

from aoc_migrate.cli.call import Run
from aoc_migrate.cli.command import TargetCommand
from aoc_migrate.cli.options import ACCEPT, MAX_STALL, POOLER, WAITING
from aoc_migrate.cli.param_types import not_empty, password_of

CHANGE_OPTIONS = (MAX_STALL, *WAITING, POOLER)


@click.group()
def verifier() -> None:
    """Create, check and drop the read-only role for verification.

    AOC_VERIFIER_USER sets its name (default: stella-aoc-verify). It may read only the raw table and the tables
    that aoc-migrate keeps; its sessions are read-only.

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
    help="Set the password to the first line of FILE (-: of stdin). Without it, the password does not change.",
)
@click.option(
    "--tenant",
    callback=not_empty,
    help="Let the role see only this tenant's rows, until drop; needs row-level security.",
)
def create(run: Run, password: str | None, tenant: str | None) -> None:
    """Create the role or update its password, rights and policy; then check it.

    The password never leaves this process: the server gets only its SCRAM-SHA-256 verifier. Connect as a role
    that may create roles and owns the tables. Run it again after an upgrade that created tables.

    \b
    aoc-migrate verifier create concelier --password-file /run/secrets/verifier
    vault read -field=password stella/verifier | aoc-migrate verifier create --password-file -
    """
    from aoc_migrate.run.verifier import run_create

    run.verb(lambda session, report: run_create(session, report, password, tenant), stops=True)


@verifier.command(cls=TargetCommand, shared=(ACCEPT, POOLER))
def check(run: Run) -> None:
    """Check that the role can read what it needs, and do nothing else.

    Checks its rights, then tries to write and create as that role, in a transaction that is rolled back. It lists
    functions that would run with their owner's rights, but does not try them.

    \b
    aoc-migrate verifier check
    """
    from aoc_migrate.run.verifier import run_check

    run.verb(run_check)


@verifier.command(cls=TargetCommand, shared=CHANGE_OPTIONS)
def drop(run: Run) -> None:
    """Revoke the role's rights, and drop it.

    A role that another database still uses is not dropped.

    \b
    aoc-migrate verifier drop
    """
    from aoc_migrate.run.verifier import run_drop

    run.verb(run_drop, stops=True)
