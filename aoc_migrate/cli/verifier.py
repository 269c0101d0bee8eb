"""`aoc-migrate verifier`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aoc_migrate.cli import common, opts
from aoc_migrate.cli.values import not_empty
from aoc_migrate.errors import refused

if TYPE_CHECKING:
    from aoc_migrate.report.accepted import Accepted


@click.group()
def verifier() -> None:
    """Make, check and drop the read-only role that verification runs under.

    Its name is AOC_VERIFIER_USER (default: stella-aoc-verify). It may read the raw table and our own tables,
    and nothing else; sessions of it are read-only.

    \b
    aoc-migrate verifier create concelier --password-file /run/secrets/verifier
    aoc-migrate verifier check
    """


@verifier.command(context_settings=common.WORDS)
@click.argument("words", nargs=-1, metavar="[TARGET]")
@click.option(
    "--password-file",
    metavar="FILE",
    help="Its first line becomes the password; - reads it from stdin. Without it, the password stays as it is.",
)
@click.option(
    "--tenant",
    callback=not_empty,
    help="Let it see this tenant's rows only, until drop; wants row-level security.",
)
@opts.stall_option
@opts.waiting_options
@opts.connection_options
@opts.output_options
@click.pass_context
def create(
    ctx: click.Context,
    words: tuple[str, ...],
    password_file: str | None,
    tenant: str | None,
    allow_session_pooler: bool,
    max_stall: float,
    deadline: float,
    lock_wait: float,
    show_queries: bool,
    form: str,
    output: str | None,
) -> None:
    """Make the role, or bring it up to date: password (rotation), rights, policy; then check it.

    The password never leaves this process: the server gets its SCRAM-SHA-256 verifier. Needs a role that may
    create roles and owns the tables. After an upgrade that made tables, run it again.

    \b
    aoc-migrate verifier create concelier --password-file /run/secrets/verifier
    vault read -field=password stella/verifier | aoc-migrate verifier create --password-file -
    """
    from aoc_migrate.database.targets import choose_targets
    from aoc_migrate.run.verifier import run_create

    names, _ = common.target_words(ctx, words, revision=False)
    targets = choose_targets(names)
    password = _password(password_file) if password_file else None
    common.run(
        "verifier create",
        targets,
        common.make_options(200, allow_session_pooler, deadline, lock_wait, max_stall, show_queries),
        lambda session, report: run_create(session, report, password, tenant),
        form,
        output,
        stop_at_error=True,
    )


def _password(file: str) -> str:
    try:
        text = sys.stdin.readline() if file == "-" else Path(file).read_text(encoding="utf-8").partition("\n")[0]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise refused(f"--password-file {file} cannot be read: {reason}.") from None
    password = text.rstrip("\r\n")
    if not password or "\0" in password:
        raise refused(f"--password-file {file}: its first line is empty, and an empty password is none.")
    return password


@verifier.command(context_settings=common.WORDS)
@click.argument("words", nargs=-1, metavar="[TARGET]")
@opts.accept_option
@opts.connection_options
@opts.output_options
@click.pass_context
def check(
    ctx: click.Context,
    words: tuple[str, ...],
    accept: "Accepted",
    allow_session_pooler: bool,
    form: str,
    output: str | None,
) -> None:
    """Prove that the role can read what it needs and do nothing else, by its rights and by trying.

    What is tried (write, create) is tried as that role, in a transaction that is rolled back.

    \b
    aoc-migrate verifier check
    """
    from aoc_migrate.database.targets import choose_targets
    from aoc_migrate.run.verifier import run_check

    names, _ = common.target_words(ctx, words, revision=False)
    options = common.make_options(allow_session_pooler=allow_session_pooler, accept=accept)
    common.run("verifier check", choose_targets(names), options, run_check, form, output)


@verifier.command(context_settings=common.WORDS)
@click.argument("words", nargs=-1, metavar="[TARGET]")
@opts.stall_option
@opts.waiting_options
@opts.connection_options
@opts.output_options
@click.pass_context
def drop(
    ctx: click.Context,
    words: tuple[str, ...],
    allow_session_pooler: bool,
    max_stall: float,
    deadline: float,
    lock_wait: float,
    show_queries: bool,
    form: str,
    output: str | None,
) -> None:
    """Take the role's policies and rights away, and drop it unless another database still knows it.

    \b
    aoc-migrate verifier drop
    """
    from aoc_migrate.database.targets import choose_targets
    from aoc_migrate.run.verifier import run_drop

    names, _ = common.target_words(ctx, words, revision=False)
    common.run(
        "verifier drop",
        choose_targets(names),
        common.make_options(200, allow_session_pooler, deadline, lock_wait, max_stall, show_queries),
        run_drop,
        form,
        output,
        stop_at_error=True,
    )


@verifier.command()
@click.option("--tenant", "tenants", multiple=True, default=["default"], show_default=True, help="Repeatable.")
def authority(tenants: tuple[str, ...]) -> None:
    """Print the client that Authority's bootstrap wants for the verifier, as YAML.

    Its credentials come from the secret store; rotate them quarterly.

    \b
    aoc-migrate verifier authority --tenant default
    """
    import json

    from aoc_migrate.database.limits import read_flags

    quoted = json.dumps(read_flags().verifier_user)
    listed = ", ".join(json.dumps(tenant) for tenant in tenants)
    click.echo(
        f"clients:\n  - clientId: {quoted}\n    grantTypes: [client_credentials]\n"
        f"    scopes: [aoc:verify, advisory:read, vex:read]\n    tenants: [{listed}]"
    )
