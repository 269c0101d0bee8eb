"""What the session, the lock and the steps find."""

from aoc_migrate.report.messages.message import Message

SESSION: dict[str, Message] = {
    # Session
    "schema-missing": Message(
        "There is no schema {subject} in database {database}.",
        "Run: CREATE SCHEMA {quoted};",
        exit_code=3,
    ),
    "row-level-security": Message(
        "Row-level security hides rows of {subject} from role {role}; an audit would pass falsely.",
        "Connect as the table's owner or as a role with BYPASSRLS.",
    ),
    "wrong-database": Message(
        "Schema {subject} of this database is {other}'s, not {target}'s; their histories would mix.",
        "Check {variable}_DATABASE_URL and {variable}_DATABASE_SCHEMA.",
    ),
    "unknown-revision": Message(
        "{subject} holds revision {revision}, which this version ({version}) does not know.",
        "Use the version of aoc-migrate that wrote it, or a newer one.",
    ),
    "privileges": Message(
        "Role {role} may not {action}.",
        "{remedy}",
    ),
    "standby": Message(
        "This server is a read-only standby; an upgrade needs the primary.",
        "Point {variable}_DATABASE_URL at the primary, or add target_session_attrs=read-write to it.",
        exit_code=3,
    ),
    "refused": Message(
        "{reason}",
        "Correct that, and run the same command again.",
        exit_code=2,
    ),
    "read-only-role": Message(
        "Transactions of role {role} are read-only here (default_transaction_read_only).",
        "Connect as the role that owns the tables.",
    ),
    "server-version": Message(
        "This server is PostgreSQL {version}; PostgreSQL 15 is the oldest that can hold the contract.",
        "Upgrade the server first.",
        exit_code=2,
    ),
    "encoding": Message(
        "The database's encoding is {encoding}; the contract's rules name characters that only UTF8 has.",
        "Make a database with ENCODING 'UTF8', and move the data by pg_dump and pg_restore.",
        exit_code=2,
    ),
    "pooler": Message(
        "The connection goes through a pooler; session locks and settings would reach other sessions.",
        "Connect to PostgreSQL directly (its own port); for a pooler in session mode: --allow-session-pooler",
        exit_code=2,
    ),
    "unreachable": Message(
        "No connection to {target}: {reason}",
        "Check {variable}_DATABASE_URL, the server and the network; then run the same command again.",
        exit_code=3,
    ),
    # Running
    "connection-lost": Message(
        "The connection to {subject} was lost: {reason}.",
        "Steps that had ended stand. Run the same command again; it goes on where this one stopped.",
        exit_code=3,
    ),
    "lock-held": Message(
        "The lock between runs on {subject} is held: {holder}. We waited {waited}.",
        "If it is a run at work, wait for it and run the same command again, or give --lock-wait more time. "
        "To end it: {ending}",
        exit_code=3,
    ),
    "lock-lost": Message(
        "The lock on {subject} is not this session's any more: a pooler or a reset session let go of it.",
        "Connect to PostgreSQL directly and run the same command again.",
        exit_code=3,
    ),
    "deadline": Message(
        "{subject} {what} within {waited} (tried: {attempts}). {blockers}",
        "{remedy}",
        exit_code=3,
    ),
    "step-failed": Message(
        "{subject} failed: {reason}.",
        "What was applied before stands. Repair the cause and run the same command again; it goes on here.",
    ),
    "cancelled": Message(
        "Somebody cancelled {subject} (pg_cancel_backend or a signal to its process): {reason}.",
        "What had finished is kept, batches included. Run the same command again; it goes on there.",
    ),
    "foreign-object": Message(
        "{subject} bears a name of ours, but {reason}: it may run code of others, or mean something else.",
        "Find out who made it, and what for. {remedy} Then run the same command again.",
    ),
    "bookkeeping-writable": Message(
        "Others may write to {subject}: {names}. What it holds decides what upgrades and downgrades do.",
        "Find out whether they did. Run: {remedy}",
    ),
    "rows-lost": Message(
        "A batch chose {chosen} rows of {subject}, wrote {written}, and {arrived} arrived: it was rolled back.",
        "A trigger or rule drops rows on the way. Disable it, and run the same command again.",
    ),
    "function-kept": Message(
        "The function {subject} stays: {reason}.",
        "Nothing to do. Once nothing uses it any more: DROP FUNCTION {function};",
        severity="warning",
    ),
    "not-there-yet": Message(
        "{subject} is not ready after {waited}: {missing}.",
        "Look at it with aoc-migrate status {subject}, or give --timeout more time.",
        exit_code=3,
    ),
    # Surroundings
    "limited-visibility": Message(
        "Role {role} does not see how old other roles' transactions are, which indexes they build, and how far "
        "standbys lag: none of that is in this report, and no step pauses for it. It does see locks, and "
        "who holds them or waits for them.",
        "Run: GRANT pg_read_all_stats TO {quoted};",
        severity="warning",
    ),
    "planted-object": Message(
        "Schema {subject} holds {count} functions or operators that bear names of PostgreSQL's own and belong to "
        "roles that are not trusted: {names}. A service with this schema in its search_path may run them instead.",
        "aoc-migrate runs none of them. Find out what they are for. To take them away: {drop}{revoke}",
        severity="warning",
    ),
    "role-timeouts": Message(
        "Role or database {subject} sets timeouts ({settings}), which would end long steps.",
        "Nothing to do: aoc-migrate lifts them for its own session.",
        severity="info",
    ),
    "old-transaction": Message(
        "Old snapshots are open ({names}); index builds wait for their end.",
        "Let them end first (a pg_dump, a report), or end one: SELECT pg_terminate_backend(PID);",
        severity="warning",
    ),
    "prepared-transaction": Message(
        "Prepared transactions ({names}) keep their locks until somebody ends them.",
        "End each one: COMMIT PREPARED 'NAME'; or ROLLBACK PREPARED 'NAME';",
        severity="warning",
    ),
    "replication-slot": Message(
        "Replication slots without a consumer: {names}; what the backfill writes stays in pg_wal as well.",
        "Start their consumers, or drop them: SELECT pg_drop_replication_slot('NAME');",
        severity="warning",
    ),
    "snapshot-held": Message(
        "{label} went on while old snapshots were open ({names}): dead rows could not be cleaned meanwhile, "
        "so the table and its indexes have grown more than they need.",
        "When they have ended: VACUUM {subject}; Next time let them end before it starts.",
        severity="warning",
    ),
    "held": Message(
        "The database is held at {revision} since {at} by {by} after `{command}`: a plain upgrade changes "
        "nothing.",
        "To go on: aoc-migrate upgrade {target} --release-hold",
        severity="info",
    ),
    "unfinished": Message(
        "A `{command}` towards {revision} was begun at {at} by {by} and has not ended.",
        "Run it again to finish it, or go up again: aoc-migrate upgrade {target} --release-hold",
        severity="warning",
    ),
    "ended-already": Message(
        "An earlier `{command}` had ended at {revision} already, and its report was not seen to the end.",
        "Nothing more was changed. If you want to go further down, type it once more.",
        severity="info",
    ),
    "guard-still-on": Message(
        "AOC_GUARD_ENABLED is not false: the services' guard goes off before the constraints do.",
        "Set AOC_GUARD_ENABLED=false on the services and roll them out.",
        severity="warning",
    ),
    "rows-changed-since": Message(
        "{n_rows} of {table} linked anew by others since the backfill, and left as they are.",
        "Look at them if they matter; their ids are in the sample. A downgrade that was interrupted and run again "
        "tells only what its last run left: the report of each run before has its own.",
        severity="warning",
    ),
    "rows-in-quarantine": Message(
        "{n_rows} that the backfill had linked are in {subject} now, with the link that they had when they moved.",
        "Nothing to do; once they are put back, the next upgrade links them again.",
        severity="info",
    ),
}
