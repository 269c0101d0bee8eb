"""What a rehearsal remembers on the copy until it has ended: where it began, what was there, and how far it is.

The table is private, and checked before it is read, as our bookkeeping is. A rehearsal that was interrupted goes
on from it, and compares with the state before its first change.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from aoc_migrate.database import catalog
from aoc_migrate.database.bookkeeping import REHEARSAL
from aoc_migrate.database.own_tables import create, own_tables_locked
from aoc_migrate.database.session import Row, Session
from aoc_migrate.errors import refused
from aoc_migrate.inspect.fingerprint import Entry, fingerprint
from aoc_migrate.inspect.row_digest import Digest, digest, shape
from aoc_migrate.report.facts.rehearsed import Phase
from aoc_migrate.report.fields import data
from aoc_migrate.revisions.graph import altered_tables
from aoc_migrate.run.hold import Hold


@dataclass(frozen=True)
class Record:
    """A rehearsal that began at ``revision`` (None: base), with what the copy was like then.

    ``phase`` is the one that runs, or that was interrupted; ``phases`` are those that have ended. ``kept`` is what
    the downgrade kept on purpose, once it has ended. ``held_by`` is the command that had left a hold at
    ``held_at``.
    """

    revision: str | None
    phase: str
    entries: tuple[Entry, ...]
    digests: dict[str, Digest]
    phases: tuple[Phase, ...]
    held_by: str | None = None
    held_at: str | None = None
    kept: tuple[str, ...] = ()


def begin(
    session: Session, revision: str | None, phase: str, phases: Sequence[Phase], held: Hold | None
) -> Record:
    """Write down what the copy is like before its first change, and return it."""
    entries, tables = fingerprint(session), altered_tables(session.target.name)
    shapes = {table: known for table in tables if (known := shape(session, table))}
    digests = {table: digest(session, table, known) for table, known in shapes.items()}
    by, at = (held.command, held.held_at) if held else (None, None)
    before = {"entries": entries, "digests": data(digests), "held_by": by, "held_at": at, "oids": _oids(session)}
    create(session, REHEARSAL)
    with own_tables_locked(session, REHEARSAL, writes=True):
        session.run(
            f"INSERT INTO {session.schema[REHEARSAL]} (revision, phase, before, phases) VALUES (%s, %s, %s, %s)",
            (revision, phase, Jsonb(before), Jsonb(data(phases))),
        )
    return Record(revision, phase, entries, digests, tuple(phases), by, at)


def read(session: Session) -> Record | None:
    """Return the record of an interrupted rehearsal, or None.

    Raises Abort ``foreign-object``, and (exit 2) if the record is damaged, or is about other tables.
    """
    if catalog.kind(session, REHEARSAL) is None:
        return None
    with own_tables_locked(session, REHEARSAL):
        rows = session.rows(f"SELECT revision, phase, before, phases, kept FROM {session.schema[REHEARSAL]}")
    if not rows:
        return None
    name = session.schema[REHEARSAL]
    try:
        record, oids = _record(rows[0]), rows[0]["before"]["oids"]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise refused(
            f"What {name} remembers of a rehearsal is damaged. Restore the copy; or drop the table."
        ) from None
    if oids != _oids(session):
        raise refused(
            f"The copy was restored since the rehearsal that {name} remembers: its tables are others. Nothing has "
            "changed. Restore it into a new database, where no version and no hold is left of that rehearsal. Or, "
            f"to rehearse it as it is, type: DROP TABLE {name};"
        )
    return record


def _oids(session: Session) -> list[int]:
    """Return what identifies the tables that the revisions alter: a view swap renames one, a restore makes others.

    ``pg_restore --clean`` does not drop our record, which its dump lacks.
    """
    rows = session.rows(
        "SELECT oid::bigint AS oid FROM pg_class WHERE relname = ANY (%s) AND relkind IN ('r', 'p') "
        "AND relnamespace = to_regnamespace(quote_ident(%s)) ORDER BY oid",
        (altered_tables(session.target.name), session.target.schema),
    )
    return [row["oid"] for row in rows]


def _record(row: Row) -> Record:
    before = row["before"]
    return Record(
        row["revision"],
        row["phase"],
        tuple(Entry(*entry) for entry in before["entries"]),
        {
            table: Digest(tuple(found["columns"]), tuple(found["key"]), found["buckets"])
            for table, found in before["digests"].items()
        },
        tuple(Phase(**phase) for phase in row["phases"]),
        before["held_by"],
        before["held_at"],
        tuple(row["kept"]),
    )


def advance(session: Session, phase: str, phases: Sequence[Phase], kept: Sequence[str] = ()) -> None:
    """Record that the next phase begins, those that have ended, and what the downgrade kept."""
    with own_tables_locked(session, REHEARSAL, writes=True):
        session.run(
            f"UPDATE {session.schema[REHEARSAL]} SET phase = %s, phases = %s, kept = %s",
            (phase, Jsonb(data(phases)), list(kept)),
        )


def drop(session: Session) -> None:
    """Drop the record of a rehearsal that has ended."""
    with own_tables_locked(session, REHEARSAL, writes=True):
        session.run(f"DROP TABLE {session.schema[REHEARSAL]}")
