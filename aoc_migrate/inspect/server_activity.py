"""What else is active on the server that would slow an upgrade down or suffer from it."""

from collections.abc import Iterator

from aoc_migrate.database.hidden_replicas import hidden_replicas
from aoc_migrate.database.observing import only_observing
from aoc_migrate.database.old_transactions import old_transactions, prepared
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.spread.nodes import everywhere, on
from aoc_migrate.inspect.planted_objects import planted_objects
from aoc_migrate.report.formatting import seconds_shown
from aoc_migrate.report.model import Finding, finding

OLD_TRANSACTION = 5  # seconds; shorter ones hardly delay an index build

_TIMEOUTS = (
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",
)


def activity_findings(session: Session) -> Iterator[Finding]:
    """Yield what an operator should know before a maintenance window. None of it stops an upgrade."""
    yield from unseen_findings(session)
    yield from _timeouts(session)
    yield from _old_transactions(session)
    yield from _prepared(session)
    yield from _slots(session)
    yield from planted_objects(session)


def unseen_findings(session: Session) -> list[Finding]:
    """Return what this session cannot see, and so does not wait for: what other roles do, replicas of Aurora."""
    return [*limited_visibility(session), *hidden_replicas(session)]


def limited_visibility(session: Session) -> list[Finding]:
    """Return ``limited-visibility`` if this role cannot see the activity of other roles' sessions and of standbys.

    Such a role sees locks and who waits for them, prepared transactions and slots, and the pid, application and
    xmin of other roles' sessions, but not how old their transactions are or what they build.
    """
    if session.value("SELECT pg_has_role('pg_read_all_stats', 'USAGE')"):
        return []
    role = session.row("SELECT current_user AS role, quote_ident(current_user) AS quoted")
    return [finding("limited-visibility", session.target.name, **role)]


def _timeouts(session: Session) -> Iterator[Finding]:
    """Yield the timeouts that the role or the database sets and that our session overrides."""
    rows = session.rows(
        "SELECT name || ' = ' || reset_val || coalesce(unit, '') AS setting FROM pg_settings "
        "WHERE name = ANY (%s) AND reset_val <> '0' ORDER BY name",
        (list(_TIMEOUTS),),
    )
    if rows:
        yield finding("role-timeouts", session.target.name, settings=", ".join(row["setting"] for row in rows))


def _old_transactions(session: Session) -> Iterator[Finding]:
    """Yield transactions that an index build of this database would wait for."""
    found = old_transactions(session, OLD_TRANSACTION)
    if found:
        yield finding("old-transaction", session.target.name, count=len(found), names="; ".join(found))


def _prepared(session: Session) -> Iterator[Finding]:
    rows = prepared(session)
    if rows:
        names = "; ".join(f"{r['gid']!r} of {r['owner']}{on(r)}, {seconds_shown(r['seconds'])} old" for r in rows)
        yield finding("prepared-transaction", session.target.name, count=len(rows), names=names)


def _slots(session: Session) -> Iterator[Finding]:
    rows, what = list[Row](), "replication slots"
    with only_observing(session, what):  # Aurora does not support pg_current_wal_lsn()
        rows = everywhere(
            session,
            what,
            "SELECT slot_name, pg_size_pretty(CASE WHEN pg_is_in_recovery() THEN 0 "
            "ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) END) AS kept FROM pg_replication_slots "
            "WHERE NOT active AND restart_lsn IS NOT NULL AND wal_status IS DISTINCT FROM 'lost' "
            "ORDER BY restart_lsn LIMIT 12",
        )
    if rows:
        names = "; ".join(f"{r['slot_name']}{on(r)} (keeps {r['kept']} of WAL)" for r in rows)
        yield finding("replication-slot", session.target.name, count=len(rows), names=names)
