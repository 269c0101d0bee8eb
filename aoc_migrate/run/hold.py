"""The hold: it keeps restarting pods, which run `upgrade`, from undoing a rollback.

A downgrade writes it before its first step, unfinished, with the absolute revision that it goes to, and marks it
acknowledged once the report is printed. Until then, the same relative downgrade resumes instead of going further
down, because whoever types it again has not seen that it ended.
"""

import re
from dataclasses import asdict, dataclass, replace

from aoc_migrate.database import catalog
from aoc_migrate.database.bookkeeping import HOLD, STATE
from aoc_migrate.database.own_name import who
from aoc_migrate.database.own_tables import create, own_tables_locked
from aoc_migrate.database.relation import utc
from aoc_migrate.database.session import Session
from aoc_migrate.report.model import Finding, finding

_COMMAND = re.compile(r"(psql )?downgrade [\w-]+|constraints --remove")
_READ = f"SELECT command, revision, held_by, {utc('held_at')} AS held_at, finished, acknowledged FROM {{}}"


@dataclass(frozen=True)
class Hold:
    """Who holds the database at which revision (None: base), by which command, since when."""

    command: str
    revision: str | None
    held_by: str
    finished: bool
    acknowledged: bool = True  # matters only for relative downgrades
    held_at: str | None = None

    def __post_init__(self) -> None:
        """Replace anything that is not a command of ours: it is printed for people to type again."""
        if not _COMMAND.fullmatch(self.command):
            object.__setattr__(self, "command", "downgrade")


def read(session: Session) -> Hold | None:
    """Return the hold of this target, or None if there is no hold or this role may not read it."""
    if not catalog.may_read(session, HOLD):
        return None
    with own_tables_locked(session, HOLD):
        rows = session.rows(_READ.format(session.schema[HOLD]))
    return Hold(**rows[0]) if rows else None


def begin(session: Session, command: str, revision: str | None, *, acknowledged: bool = True) -> Hold:
    """Write an unfinished hold before the first step of a rollback, and return it."""
    from aoc_migrate.database.state import claim, keep

    create(session, STATE, HOLD)
    keep(session, claim(session.schema, session.target.name))
    by = f"{session.value('SELECT current_user')}@{who()}"
    hold = Hold(command, revision, by, finished=False, acknowledged=acknowledged)
    _write(session, hold)
    return hold


def finish(session: Session, hold: Hold) -> None:
    """Mark the rollback as finished; the hold stays until `upgrade --release-hold`."""
    _write(session, replace(hold, finished=True))


def acknowledge(session: Session, command: str) -> None:
    """Record that whoever typed ``command`` has seen that it ended."""
    if catalog.kind(session, HOLD) is not None:
        with own_tables_locked(session, HOLD, writes=True):
            session.run(
                f"UPDATE {session.schema[HOLD]} SET acknowledged = true WHERE command = %s AND finished",
                (command,),
            )


def release(session: Session) -> None:
    """Delete the hold."""
    with own_tables_locked(session, HOLD, writes=True):
        session.run(f"DELETE FROM {session.schema[HOLD]}")


def _write(session: Session, hold: Hold) -> None:
    values = {name: value for name, value in asdict(hold).items() if name != "held_at"}
    names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
    changed = ", ".join(f"{name} = excluded.{name}" for name in (*values, "held_at"))
    with own_tables_locked(session, HOLD, writes=True):
        session.run(
            f"INSERT INTO {session.schema[HOLD]} ({names}) VALUES ({marks}) "
            f"ON CONFLICT (one) DO UPDATE SET {changed}",
            list(values.values()),
        )


def released(finding: Finding, target: str) -> Finding:
    """Return the finding with ``--release-hold`` added to the upgrade that its help asks for."""
    plain = f"aoc-migrate upgrade {target}"
    if finding.help.endswith(plain):
        return replace(finding, help=f"{finding.help} --release-hold")
    return finding


def to_finding(session: Session, hold: Hold) -> Finding:
    """Return the finding ``held`` or ``rollback-unfinished`` for the hold."""
    return finding(
        "held" if hold.finished else "rollback-unfinished",
        session.target.name,
        target=session.target.name,
        command=hold.command,
        revision=hold.revision or "base",
        by=hold.held_by,
        at=hold.held_at or "now",
    )


def unfinished(session: Session) -> list[Finding]:
    """Return an error if a rollback has not finished, for commands that would work against it."""
    current_hold = read(session)
    if current_hold is None or current_hold.finished:
        return []
    return [replace(to_finding(session, current_hold), severity="error")]


def findings(session: Session) -> list[Finding]:
    """Return the finding for the current hold, if there is one."""
    current_hold = read(session)
    return [to_finding(session, current_hold)] if current_hold else []
