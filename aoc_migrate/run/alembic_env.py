"""Alembic's environment, for `aoc-migrate` and for stock Alembic.

`aoc-migrate` passes its own session. Stock `alembic -n concelier …` gets one here, but neither audit nor verify.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import Any

import psycopg
from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, StaticPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from aoc_migrate.database import catalog
from aoc_migrate.database.attached_code import code_findings, refuse
from aoc_migrate.database.bookkeeping import VERSION, share
from aoc_migrate.database.events import DDL
from aoc_migrate.database.limits import read_flags, read_limits
from aoc_migrate.database.own_tables import create, guard, lock
from aoc_migrate.database.pinned_settings import preamble
from aoc_migrate.database.place import read_place
from aoc_migrate.database.relation import Schema
from aoc_migrate.database.runner_lock import runner_lock
from aoc_migrate.database.session import Session, connect
from aoc_migrate.database.spread.shape import refuse_spread
from aoc_migrate.database.targets import RAW_TABLES, TARGETS, choose_targets, read_schema_and_owner
from aoc_migrate.database.transcript import Transcript
from aoc_migrate.errors import Abort, refused
from aoc_migrate.inspect.distribution import cluster_findings
from aoc_migrate.inspect.server_activity import unseen_findings
from aoc_migrate.operations import registered as _registered  # noqa: F401 - the operations that revisions call
from aoc_migrate.operations.execute import Online
from aoc_migrate.operations.instant import ALIVE
from aoc_migrate.operations.registry import EXECUTOR
from aoc_migrate.operations.render import OWNER, Printer, tidy
from aoc_migrate.report.formatting import plain
from aoc_migrate.report.model import Finding, Report
from aoc_migrate.revisions import ledger
from aoc_migrate.revisions.current import changing, lost_links, read_revision
from aoc_migrate.revisions.graph import Revision, contract_at, head, migrations_folder, resolve
from aoc_migrate.run import hold
from aoc_migrate.run.x_arguments import accepted, ticket

# Alembic prints CREATE TABLE for its version table, which a downgrade to base leaves behind, empty.
_FROM_BASE = """DO $aoc$
BEGIN
  IF to_regclass({0.literal}) IS NOT NULL THEN
    IF NOT EXISTS (SELECT FROM {0}) THEN
      DROP TABLE {0};
    END IF;
  END IF;
END $aoc$;"""
_SESSION = "aoc_session"
_NAMED_PARAMETERS = {"paramstyle": "named"}  # otherwise Alembic doubles each ``%`` in a name
_LOCKING = ("upgrade", "downgrade", "stamp")


def make_config(session: Session) -> Config:
    """Return Alembic's configuration for the session's target, without an ini file or interpolation."""
    folder = str(migrations_folder()).replace("%", "%%")
    config = Config()
    config.set_main_option("script_location", folder)
    config.set_main_option("version_locations", f"{folder}/{session.target.name}")
    config.set_main_option("path_separator", "newline")
    config.attributes[_SESSION] = session
    return config


def run(context: Any) -> None:
    """Run the revisions, or print them under ``--sql``. ``context`` is ``alembic.context``."""
    session = context.config.attributes.get(_SESSION)
    if context.is_offline_mode():
        _print_sql(context)
    elif session is not None:
        create(session, VERSION)
        _migrate(context, session)
    else:
        _run_stock(context)


def _print_sql(context: Any) -> None:
    name = _target_name(context)
    schema, owner = read_schema_and_owner(name)
    printed = io.StringIO()
    context.configure(
        dialect_name="postgresql",
        output_buffer=printed,
        dialect_opts=_NAMED_PARAMETERS,
        version_table=VERSION,
        version_table_schema=schema,
        transaction_per_migration=True,
        literal_binds=True,
        **{OWNER: owner, EXECUTOR: Printer},
    )
    write = context.get_context().impl.static_output
    write(preamble({"row_security": "off", "idle_in_transaction_session_timeout": ALIVE}))
    raw = Schema(schema)[RAW_TABLES[name]]
    write(f"{guard(Schema(schema), raw)};")
    write(f"{refuse_spread(raw)};")
    if context.get_starting_revision_argument() is None:
        write(_FROM_BASE.format(Schema(schema)[VERSION]))
    with context.begin_transaction():
        context.run_migrations()
    (context.config.output_buffer or context.config.stdout).write(tidy(printed.getvalue()))


def _target_name(context: Any) -> str:
    name = context.config.config_ini_section
    if name not in TARGETS:
        raise CommandError(f"Choose a target: alembic -n {TARGETS[0]} … or alembic -n {TARGETS[1]} …")
    return str(name)


def _run_stock(context: Any) -> None:
    verb = context.config.cmd_opts.cmd[0].__name__ if context.config.cmd_opts else "upgrade"
    try:
        (target,) = choose_targets([_target_name(context)])
        with connect(target, f"alembic {verb}", read_limits(), read_flags(), accepted(context)) as session:
            read_place(session)
            with runner_lock(session) if verb in _LOCKING else nullcontext(), _reporting_findings(session):
                if verb == "upgrade" and (current_hold := hold.read(session)) is not None:
                    raise CommandError(plain(hold.to_finding(session, current_hold).problem))
                if verb in _LOCKING:
                    refuse(session, [*cluster_findings(session)])
                    refuse(session, code_findings(session, contract_at(target.name, None), DDL))
                    create(session, VERSION)
                    session.findings += unseen_findings(session)
                with _recorded(session, verb, context.config.cmd_opts, ticket(context)):
                    _migrate(context, session)
                if verb == "upgrade":
                    session.run(share(session.schema, session.raw))
    except Abort as abort:
        remedy = "" if abort.refused else f"\n{plain(_help(abort.finding))}"
        raise CommandError(f"{plain(abort.finding.problem)}{remedy}") from None


def _help(finding: Finding) -> str:
    """Return the finding's help with ``--accept`` in the form that stock Alembic takes."""
    return finding.help.replace("--accept ", "-x accept=")


@contextmanager
def _reporting_findings(session: Session) -> Iterator[None]:
    """Print the findings of the steps at the end, even if one of them fails."""
    try:
        yield
    finally:
        for finding in session.findings:
            session.say(f"{finding.problem} {_help(finding)}", "finding", finding.severity, slug=finding.slug)


@contextmanager
def _recorded(session: Session, verb: str, arguments: Any, named: str | None) -> Iterator[None]:
    """Record a stock upgrade or downgrade in the ledger."""
    if verb not in ("upgrade", "downgrade") or arguments is None:
        yield
        return
    target = session.target.name
    report = Report(target, head(target), read_revision(session), ticket=named)
    goal = resolve(target, arguments.revision, report.revision)
    session.findings += lost_links(session, report.revision, goal)
    command = f"alembic {verb} {arguments.revision}"
    with ledger.recorded(session, report, command, goal), changing(session, report):
        yield


def _migrate(context: Any, session: Session) -> None:
    with alembic_connection(session) as connection:
        context.configure(
            connection=connection,
            version_table=VERSION,
            version_table_schema=session.target.schema,
            transaction_per_migration=True,
            **{EXECUTOR: partial(Online, session)},
        )
        with context.begin_transaction():
            context.run_migrations()


@contextmanager
def alembic_connection(session: Session) -> Iterator[Connection]:
    """Lend the session's connection to SQLAlchemy, so that one backend holds the lock and runs the DDL.

    With ``row_security`` off, the backfill fails if a policy would hide rows from it (PostgreSQL 15 manual, 5.8).
    """
    session.set("row_security", "off")
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: session.connection,
        poolclass=StaticPool,
        use_native_hstore=False,  # or each revision would look for that type
        pool_reset_on_return=None,  # we roll back ourselves; of a lost connection, the pool would log a traceback
    )
    event.listen(engine, "begin", lambda _: _guard_version(session))
    if session.transcript:
        _listen(engine, session.transcript)
    session.connection.autocommit = False
    try:
        with engine.connect() as connection, session.settled():
            yield connection
    except DBAPIError as error:
        raise error.orig or error from None
    except CommandError as error:
        raise refused(f"Alembic: {error}") from None
    finally:
        with suppress(psycopg.Error):  # it must not replace an error of the block
            session.connection.rollback()
            session.connection.autocommit = True


def _guard_version(session: Session) -> None:
    """Lock and check Alembic's version table at the start of each transaction that may write to it."""
    if not session.connection.autocommit and catalog.kind(session, VERSION) is not None:
        lock(session, VERSION, writes=True)


def _listen(engine: Engine, transcript: Transcript) -> None:
    """Add what Alembic itself runs to the transcript: statements on the version table, commits and rollbacks."""

    @event.listens_for(engine, "before_cursor_execute")
    def _(_connection: Connection, cursor: Any, sql: str, parameters: Any, *_: Any) -> None:
        with transcript.statement(sql, parameters):
            pass

    event.listen(engine, "commit", lambda _: transcript.commit())
    event.listen(engine, "rollback", lambda _: transcript.rollback())


@contextmanager
def operations(session: Session) -> Iterator[None]:
    """Run ``op`` operations on this session outside a revision."""
    with alembic_connection(session) as connection:
        options = {EXECUTOR: partial(Online, session), "version_table_schema": session.target.schema}
        context = MigrationContext.configure(connection, opts=options)
        with Operations.context(context), context.begin_transaction():
            yield


def run_functions(session: Session, revisions: Sequence[Revision], function: str) -> None:
    """Run the ``upgrade`` or ``downgrade`` of these revisions without moving the version."""
    with operations(session):
        for revision in revisions:
            session.say(f"{revision.id} {function}: {revision.title}", "step", revision=revision.id)
            getattr(revision.module, function)()
