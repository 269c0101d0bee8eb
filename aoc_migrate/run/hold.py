"""The hold: a rollback must outlast pods that restart and run `upgrade`.

A downgrade writes it before its first step, unfinished, with the absolute revision it is going to, and marks it
acknowledged when the report has been printed. Running the same relative downgrade again before that resumes
instead of going further down: whoever types it has not seen that it ended.
"""

from dataclasses import asdict, dataclass, replace

from aoc_migrate.database import catalog
from aoc_migrate.database.catalog import STATE
from aoc_migrate.database.session import Session, who
from aoc_migrate.report.model import Finding, make


@dataclass(frozen=True)
class Hold:
    """Who held the database back, at which revision (None: base), by which command, since when."""

    command: str
    revision: str | None
    by: str
    at: str
    finished: bool
    acknowledged: bool = True  # of a command that may be repeated, it does not matter


def read(session: Session) -> Hold | None:
    """Return the hold of this target, or None."""
    value = catalog.state(session, "hold")
    return Hold(**value) if value else None


def begin(session: Session, command: str, revision: str | None, *, acknowledged: bool = True) -> Hold:
    """Write an unfinished hold before the first step of a rollback, and return it."""
    from aoc_migrate.database.ddl.table import claim, create_state

    session.run(create_state(session.schema))
    session.run(claim(session.schema, session.target.name))
    now = session.row("SELECT current_user AS role, to_char(now(), 'YYYY-MM-DD HH24:MI:SS TZ') AS at")
    hold = Hold(command, revision, f"{now['role']}@{who()}", now["at"], False, acknowledged)
    _write(session, hold)
    return hold


def finish(session: Session, hold: Hold) -> None:
    """Mark the rollback as done; the hold stays until `upgrade --release-hold`."""
    _write(session, replace(hold, finished=True))


def acknowledge(session: Session, command: str) -> None:
    """Note that whoever typed ``command`` has been told that it ended."""
    if catalog.kind(session, STATE) is not None:
        session.run(
            f"UPDATE {session.schema[STATE]} SET value = value || '{{\"acknowledged\": true}}' "
            "WHERE name = 'hold' AND value->>'command' = %s AND (value->>'finished')::boolean",
            (command,),
        )


def release(session: Session) -> None:
    """Let upgrades go on."""
    session.run(f"DELETE FROM {session.schema[STATE]} WHERE name = 'hold'")


def _write(session: Session, hold: Hold) -> None:
    from psycopg.types.json import Jsonb

    session.run(
        f"INSERT INTO {session.schema[STATE]} (name, value) VALUES ('hold', %s) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value, recorded_at = now()",
        (Jsonb(asdict(hold)),),
    )


def released(finding: Finding, target: str) -> Finding:
    """Return the finding with the upgrade that it asks for in the form that works under a hold."""
    plain = f"aoc-migrate upgrade {target}"
    if finding.help.endswith(plain):
        return replace(finding, help=f"{finding.help} --release-hold")
    return finding


def finding(session: Session, hold: Hold) -> Finding:
    """Return the hold as a finding: ``held``, or ``unfinished``."""
    return make(
        "held" if hold.finished else "unfinished",
        session.target.name,
        target=session.target.name,
        command=hold.command,
        revision=hold.revision or "base",
        by=hold.by,
        at=hold.at,
    )
