"""The ledger: who ran what, when, for how long, with what outcome.

A run is written down before its first step and after each. One that was killed keeps its row open; the next
that changes something, and so holds the lock, closes it as interrupted.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg.types.json import Jsonb

from aoc_migrate import __version__
from aoc_migrate.database import catalog
from aoc_migrate.database.catalog import LOG
from aoc_migrate.database.relation import Schema
from aoc_migrate.database.session import Row, Session, who
from aoc_migrate.report.model import Finding, Report, Stopped, make
from aoc_migrate.run.history import applied


def create_log(schema: Schema) -> str:
    """Return the statement that makes the ledger where it is missing."""
    return f"""CREATE TABLE IF NOT EXISTS {schema[LOG]} (
  run bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  command text NOT NULL, from_revision text NOT NULL, goal text, revision text,
  role text NOT NULL DEFAULT current_user, host text NOT NULL, image text,
  version text NOT NULL, server_version text NOT NULL DEFAULT current_setting('server_version'),
  pid int NOT NULL DEFAULT pg_backend_pid(),
  started_at timestamptz NOT NULL DEFAULT now(), seen_at timestamptz NOT NULL DEFAULT now(),
  ended_at timestamptz, outcome text, step text,
  findings text[] NOT NULL DEFAULT '{{}}', steps jsonb NOT NULL DEFAULT '[]',
  checksums jsonb NOT NULL DEFAULT '{{}}'
)"""


@contextmanager
def recorded(session: Session, report: Report, command: str, goal: str | None) -> Iterator[None]:
    """Write the run down. The lock is held; ``goal`` is the absolute revision that it is going to.

    The outcome is ``done``, ``refused`` (a check inside found errors, and nothing was done), ``failed`` or
    ``interrupted``; `judged` adds what verify says.
    """
    run = _begin(session, command, report.revision, goal)
    report.facts["run"] = run
    session.on_step = lambda step: _step(session, run, step)
    outcome, slugs = "failed", list[str]()
    try:
        yield
        slugs = [finding.slug for finding in report.errors]
        outcome = "refused" if slugs else "done"
    except Stopped as stopped:
        slugs = [stopped.finding.slug]
        raise
    except (SystemExit, KeyboardInterrupt):
        outcome = "interrupted"
        raise
    finally:
        session.on_step = None
        with suppress(psycopg.Error):  # the connection may be gone; the next run closes the row then
            session.run(
                f"UPDATE {session.schema[LOG]} SET outcome = %s, findings = %s, revision = %s, steps = %s, "
                "step = NULL, seen_at = now(), ended_at = now() WHERE run = %s",
                (outcome, slugs, report.revision or "base", _steps(session), run),
            )


def judged(session: Session, report: Report) -> None:
    """Write down that the run ended and its verify failed."""
    if report.errors:
        slugs = [finding.slug for finding in report.errors]
        session.run(
            f"UPDATE {session.schema[LOG]} SET outcome = 'not verified', findings = %s WHERE run = %s",
            (slugs, report.facts["run"]),
        )


def _begin(session: Session, command: str, revision: str | None, goal: str | None) -> int:
    from aoc_migrate.run.rendering import checksum

    session.run(create_log(session.schema))
    session.run(
        f"UPDATE {session.schema[LOG]} SET outcome = 'interrupted', ended_at = seen_at WHERE ended_at IS NULL"
    )
    coming = [r for r in applied(session.target.name, goal) if r not in applied(session.target.name, revision)]
    row = {
        "command": command,
        "from_revision": revision or "base",
        "goal": goal or "base",
        "host": who(),
        "image": os.environ.get("AOC_IMAGE") or None,
        "version": __version__,
        "checksums": Jsonb({revision.id: checksum(revision) for revision in coming}),
    }
    names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
    run: int = session.value(
        f"INSERT INTO {session.schema[LOG]} ({names}) VALUES ({marks}) RETURNING run", list(row.values())
    )
    return run


def _step(session: Session, run: int, step: str | None) -> None:
    session.run(
        f"UPDATE {session.schema[LOG]} SET step = %s, steps = %s, seen_at = now() WHERE run = %s",
        (step, _steps(session), run),
    )


def _steps(session: Session) -> Jsonb:
    return Jsonb([{key: value for key, value in step.items() if key != "kept_ids"} for step in session.steps])


def runs(session: Session, limit: int) -> list[Row]:
    """Return the latest runs, newest first. An open one is ``running`` as long as its backend holds the lock."""
    if catalog.kind(session, LOG) is None:
        return []
    return session.rows(
        "SELECT run, command, from_revision, goal, revision, coalesce(outcome, CASE WHEN pid IN ("
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted) THEN 'running' ELSE 'interrupted' END) "
        "AS outcome, step, findings, started_at::text, "
        "round(extract(epoch FROM coalesce(ended_at, seen_at) - started_at), 1)::float8 AS seconds, "
        f"role, host, image, version, server_version FROM {session.schema[LOG]} ORDER BY run DESC LIMIT %s",
        (limit,),
    )


def latest(session: Session) -> list[Row]:
    """Return the last three runs in a few words, as far as this role may read the ledger."""
    if not catalog.readable(session, LOG):
        return []
    told = ("run", "command", "outcome", "revision", "started_at", "seconds", "role", "host")
    return [{key: row[key] for key in told} for row in runs(session, 3)]


def steps(session: Session, run: int) -> list[Row] | None:
    """Return the steps of one run, or None if there is no such run."""
    if catalog.kind(session, LOG) is None:
        return None
    found: list[Row] | None = session.value(f"SELECT steps FROM {session.schema[LOG]} WHERE run = %s", (run,))
    if found is None:
        return None
    order = (
        *("statement", "attempts", "waited_ms", "held_ms", "total_ms", "estimated_ms", "rows", "kept"),
        *("batches", "longest_ms", "paused_ms", "pauses"),
    )
    return [{key: step[key] for key in order if key in step} for step in found]


def edited(session: Session, revision: str | None) -> Iterator[Finding]:
    """Yield ``edited-revision`` for applied revisions whose SQL is not what the ledger says was applied."""
    from aoc_migrate.run.rendering import checksum

    if not catalog.readable(session, LOG):
        return
    for applied_revision in applied(session.target.name, revision):
        written = session.value(
            f"SELECT checksums->>%s FROM {session.schema[LOG]} WHERE checksums ? %s ORDER BY run DESC LIMIT 1",
            (applied_revision.id, applied_revision.id),
        )
        if written is not None and written != checksum(applied_revision):
            yield make("edited-revision", applied_revision.id, target=session.target.name)
