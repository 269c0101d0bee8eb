"""The ledger: who ran what, when, for how long, and with what outcome.

A run is recorded before its first step and after each step. The row of a killed run stays open until the next run
that changes something, and so holds the lock, marks it as interrupted.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from functools import partial
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from aoc_migrate import __version__
from aoc_migrate.database import catalog
from aoc_migrate.database.bookkeeping import LOG
from aoc_migrate.database.obeying import look
from aoc_migrate.database.own_name import who
from aoc_migrate.database.own_tables import create, lock, own_tables_locked
from aoc_migrate.database.relation import utc
from aoc_migrate.database.runner_lock import HELD, lock_key
from aoc_migrate.database.session import Row, Session
from aoc_migrate.errors import Abort
from aoc_migrate.report.facts.running import Running
from aoc_migrate.report.facts.runs import LatestRun, Run
from aoc_migrate.report.fields import data
from aoc_migrate.report.model import Finding, Report, StepReport, finding
from aoc_migrate.revisions.graph import applied
from aoc_migrate.revisions.read_back import changes_in, steps_in


@contextmanager
def recorded(session: Session, report: Report, command: str, goal: str | None) -> Iterator[None]:
    """Record the run of the block. The caller holds the lock; ``goal`` is an absolute revision.

    The outcome is ``done``, ``refused`` (a check inside found errors and nothing was done), ``failed`` or
    ``interrupted``; `record_verify_failure` may change it later.
    """
    report.run = run = _begin(session, report, command, goal)
    session.on_step = lambda step: _step(session, run, step)
    session.on_progress = partial(_progress, run)
    if session.steering:
        session.steering.on_change = lambda: _controls(session, run)
        _controls(session, run)  # what was asked before the first step
    outcome, slugs = "failed", list[str]()
    try:
        yield
        slugs = [finding.slug for finding in report.errors]
        outcome = "refused" if slugs else "done"
    except Abort as stopped:
        slugs = [stopped.finding.slug]
        raise
    except (SystemExit, KeyboardInterrupt):
        outcome = "interrupted"
        raise
    finally:
        session.on_step = session.on_progress = None
        with suppress(psycopg.Error, Abort):
            look(session, at_once=True)  # what the run did not come to obey was asked all the same
            _controls(session, run)
        with suppress(psycopg.Error):  # without a connection, the next run closes the row
            _write(
                session,
                f"UPDATE {session.schema[LOG]} SET outcome = %s, findings = %s, revision = %s, steps = %s, "
                "step = NULL, progress = NULL, seen_at = now(), ended_at = now() WHERE run = %s",
                (outcome, slugs, report.revision or "base", _steps(session), run),
            )


def record_verify_failure(session: Session, report: Report) -> None:
    """Change the outcome of the run to ``not verified`` if its report has errors."""
    if report.errors:
        slugs = [finding.slug for finding in report.errors]
        _write(
            session,
            f"UPDATE {session.schema[LOG]} SET outcome = 'not verified', findings = %s WHERE run = %s",
            (slugs, report.run),
        )


def _begin(session: Session, report: Report, command: str, goal: str | None) -> int:
    from aoc_migrate.revisions.revision_sql import checksum

    create(session, LOG)
    _write(
        session,
        f"UPDATE {session.schema[LOG]} SET outcome = 'interrupted', ended_at = seen_at WHERE ended_at IS NULL",
    )
    done = applied(session.target.name, report.revision)
    pending = [revision for revision in applied(session.target.name, goal) if revision not in done]
    row = {
        "command": command,
        "from_revision": report.revision or "base",
        "goal": goal or "base",
        "host": who(),
        "image": os.environ.get("AOC_IMAGE") or None,
        "ticket": report.ticket,
        "plan": report.plan,
        "version": __version__,
        "checksums": Jsonb({revision.id: checksum(revision) for revision in pending}),
    }
    names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
    insert = f"INSERT INTO {session.schema[LOG]} ({names}) VALUES ({marks}) RETURNING run"
    with own_tables_locked(session, LOG, writes=True):
        return int(session.value(insert, list(row.values())))


def _controls(session: Session, run: int) -> None:
    """Record what was asked of the run while it was under way."""
    changes = session.steering.changes if session.steering else []
    if changes:
        _write(
            session,
            f"UPDATE {session.schema[LOG]} SET controls = %s, seen_at = now() WHERE run = %s",
            (Jsonb(data(changes)), run),
        )


def _write(session: Session, sql: str, parameters: Sequence[Any] | None = None) -> None:
    with own_tables_locked(session, LOG, writes=True):
        session.run(sql, parameters)


def _read(session: Session, sql: str, parameters: Sequence[Any]) -> list[Row]:
    with own_tables_locked(session, LOG):
        return session.rows(sql.format(session.schema[LOG]), parameters)


def _step(session: Session, run: int, step: str | None) -> None:
    _write(
        session,
        f"UPDATE {session.schema[LOG]} SET step = %s, steps = %s, seen_at = now(), "
        "progress = CASE WHEN step = %s THEN progress END WHERE run = %s",
        (step, _steps(session), step, run),
    )


def _progress(run: int, observer: Session, running: Running) -> None:
    """Record how far the current step has got. This never waits long, because the step waits for it at its end."""
    with observer.transaction():
        observer.rows(
            "SELECT set_config('lock_timeout', '1s', true), set_config('synchronous_commit', 'off', true)"
        )
        lock(observer, LOG, writes=True)
        observer.run(
            f"UPDATE {observer.schema[LOG]} SET progress = %s, seen_at = now() "
            "WHERE run = %s AND ended_at IS NULL",
            (Jsonb(data(running)), run),
        )


def _steps(session: Session) -> Jsonb:
    return Jsonb(data(session.steps))


def runs(session: Session, limit: int, only: int | None = None) -> tuple[Run, ...]:
    """Return the latest runs, newest first, or ``only`` the one with that number.

    An open run is ``running`` while its backend holds the run lock. A session that began after the run has the pid
    of a killed one.
    """
    if catalog.kind(session, LOG) is None:
        return ()
    alive = (
        f"SELECT FROM ({HELD.format(key='%s::bigint')}) AS h LEFT JOIN pg_stat_activity AS a ON a.pid = h.pid "
        "WHERE h.pid = l.pid AND started_at >= coalesce(a.backend_start, started_at)"
    )
    found = _read(
        session,
        "SELECT run, command, from_revision, goal, revision, "
        f"coalesce(outcome, CASE WHEN EXISTS ({alive}) THEN 'running' ELSE 'interrupted' END) "
        f"AS outcome, step, findings, {utc('started_at')} AS started_at, {utc('ended_at')} AS ended_at, steps, "
        "round(extract(epoch FROM coalesce(ended_at, seen_at) - started_at), 1)::float8 AS took_seconds, "
        "role, host, image, ticket, plan, version, server_version, controls FROM {} AS l "
        "WHERE %s::bigint IS NULL OR run = %s ORDER BY run DESC LIMIT %s",
        (lock_key(session.target.name, session.target.schema), only, only, limit),
    )
    return tuple(_run(row) for row in found)


def _run(row: Row) -> Run:
    done = steps_in(row.pop("steps"))
    stalls = [step.stall_ms for step in done if step.stall_ms is not None]
    written = sum(step.rows or 0 for step in done)
    row["controls"] = tuple(map(str, changes_in(row["controls"])))
    return Run(**row, steps_done=len(done), rows_written=written, longest_stall_ms=max(stalls, default=None))


def open_runs(session: Session, pids: list[int]) -> list[Row]:
    """Return (pid, step, progress, age in seconds) of runs of these sessions that have not ended, newest first.

    A run that began before its session did belonged to a killed session with the same pid.
    """
    if not catalog.may_read(session, LOG):
        return []
    return _read(
        session,
        "SELECT l.pid, step, progress, extract(epoch FROM clock_timestamp() - seen_at)::float8 AS age "
        "FROM {} AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid "
        "WHERE ended_at IS NULL AND l.pid = ANY (%s) AND started_at >= coalesce(a.backend_start, started_at) "
        "ORDER BY run DESC",
        (pids,),
    )


def latest(session: Session) -> tuple[LatestRun, ...]:
    """Return a summary of the last three runs, or nothing if this role may not read the ledger."""
    if not catalog.may_read(session, LOG):
        return ()
    names = [field.name for field in fields(LatestRun)]
    return tuple(LatestRun(*(getattr(run, name) for name in names)) for run in runs(session, 3))


def has_run(session: Session, plan: str) -> bool:
    """Return whether a run by the approved plan with this digest has begun."""
    if catalog.kind(session, LOG) is None:
        return False
    return bool(_read(session, "SELECT FROM {} WHERE plan = %s LIMIT 1", (plan,)))


def steps(session: Session, run: int) -> list[StepReport] | None:
    """Return the steps of a run, or None if there is no such run."""
    if catalog.kind(session, LOG) is None:
        return None
    found = _read(session, "SELECT steps FROM {} WHERE run = %s", (run,))
    return steps_in(found[0]["steps"]) if found else None


def edited(session: Session, revision: str | None) -> Iterator[Finding]:
    """Yield ``edited-revision`` for applied revisions whose SQL differs from the SQL that was applied."""
    from aoc_migrate.revisions.revision_sql import checksum

    if not catalog.may_read(session, LOG):
        return
    compared = edited = 0
    for applied_revision in applied(session.target.name, revision):
        written = _read(
            session,
            "SELECT checksums->>%s AS checksum FROM {} WHERE checksums ? %s ORDER BY run DESC LIMIT 1",
            (applied_revision.id, applied_revision.id),
        )
        compared += len(written)
        if written and written[0]["checksum"] != checksum(applied_revision):
            edited += 1
            yield finding("edited-revision", applied_revision.id, target=session.target.name)
    if compared:
        session.checked("applied revisions have not been edited since", compared, "revisions", edited)
