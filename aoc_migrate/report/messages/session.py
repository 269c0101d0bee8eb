"""What the session, the lock and the steps find."""

from aoc_migrate.report.messages.message import Message

SESSION: dict[str, Message] = {
    # Session
    "schema-missing": Message(
        "Database {database} has no schema {subject}.",
        "Run: CREATE SCHEMA {quoted};",
        exit_code=3,
    ),
    "row-level-security": Message(
        "Row-level security hides rows of {subject} from role {role}; the audit could miss bad rows and pass.",
        "Connect as the table's owner or as a role with BYPASSRLS.",
    ),
    "wrong-database": Message(
        "Schema {subject} of this database belongs to {other}, not to {target}; their histories would mix.",
        "Check {url} and {variable}_DATABASE_SCHEMA.",
    ),
    "unknown-revision": Message(
        "{subject} contains revision {revision}, which this version ({version}) does not know.",
        "Use the version of aoc-migrate that wrote it, or a newer one.",
    ),
    "privileges": Message(
        "Role {role} may not {action}.",
        "{remedy}",
    ),
    "standby": Message(
        "This server is a read-only standby; an upgrade needs the primary.",
        "Point {variable} at the primary, or add target_session_attrs=read-write to it.",
        exit_code=3,
    ),
    "refused": Message(
        "{reason}",
        "Correct this, then run the same command again.",
        exit_code=2,
    ),
    "read-only-role": Message(
        "Role {role} starts every transaction read-only (default_transaction_read_only).",
        "Connect as the role that owns the tables.",
    ),
    "replica-role": Message(
        "Sessions of {role} run with session_replication_role = replica, and {role} may not change that: no "
        "foreign key would be checked and no trigger would fire for the rows that are moved or linked.",
        "As a superuser: ALTER ROLE {role} IN DATABASE {database} SET session_replication_role = origin;",
    ),
    "server-version": Message(
        "This server runs PostgreSQL {version}; the contract needs PostgreSQL 15 or newer.",
        "Upgrade the server first.",
        exit_code=2,
    ),
    "other-engine": Message(
        "This server is {engine}, not PostgreSQL: it locks and changes tables in other ways, so that neither the "
        "steps nor their bounds hold there.",
        "Keep the raw tables on PostgreSQL 15 or newer, or on a Citus cluster.",
        exit_code=2,
    ),
    "citus-worker": Message(
        "This server is a worker of a Citus cluster; aoc-migrate works through the coordinator.",
        "Point {variable} at the coordinator, {coordinator}.",
        exit_code=2,
    ),
    "ddl-propagation-off": Message(
        "citus.enable_ddl_propagation is off for this session: Citus would change only the coordinator, and leave "
        "the shards of {subject} as they are.",
        "Find out where it is set (SELECT * FROM pg_db_role_setting;) and why. Then reset it, for example: ALTER "
        "ROLE {role} RESET citus.enable_ddl_propagation;",
        exit_code=2,
    ),
    "encoding": Message(
        "The database's encoding is {encoding}; the contract's rules need characters that only UTF8 has.",
        "Create a database with ENCODING 'UTF8', and move the data with pg_dump and pg_restore.",
        exit_code=2,
    ),
    "pooler": Message(
        "The connection goes through a pooler; session locks and settings would leak into other sessions.",
        "Connect directly to PostgreSQL, on its own port; for a pooler in session mode: --allow-session-pooler",
        exit_code=2,
    ),
    "unreachable": Message(
        "Cannot connect to {target}: {reason}",
        "Check {variable}, the server and the network; then run the same command again.",
        exit_code=3,
    ),
    # Running
    "connection-lost": Message(
        "The connection to {subject} was lost: {reason}.",
        "Finished steps are kept. Run the same command again; it resumes where this one stopped.",
        exit_code=3,
    ),
    "lock-held": Message(
        "Another session holds the run lock of {subject}: {holder}. We waited {waited}.",
        "If it is a run in progress, wait for it and run the same command again, or raise --lock-wait. "
        "To end it: {ending}",
        exit_code=3,
    ),
    "lock-lost": Message(
        "This session no longer holds the run lock of {subject}: a pooler or a session reset released it.",
        "Connect directly to PostgreSQL and run the same command again.",
        exit_code=3,
    ),
    "deadline": Message(
        "{subject} {what} within {waited} (attempts: {attempts}). {blockers}",
        "{remedy}",
        exit_code=3,
    ),
    "step-failed": Message(
        "{subject} failed: {reason}.",
        "Earlier steps are kept. Fix the cause and run the same command again; it resumes at this step.",
    ),
    "temp-file-limit": Message(
        "{subject} cannot sort the table: {reason}.",
        "As a superuser, run: GRANT SET ON PARAMETER temp_file_limit TO {role}; aoc-migrate then lifts the limit "
        "for its own sessions. Or raise it: ALTER ROLE {role} SET temp_file_limit = '10GB';",
    ),
    "cancelled": Message(
        "{subject} was cancelled (by pg_cancel_backend or by a signal to its server process): {reason}.",
        "Finished steps and batches are kept. Run the same command again; it resumes there.",
    ),
    "foreign-object": Message(
        "{subject} has one of our names, but {reason}: it may run someone else's code, or mean something else.",
        "Find out who created it, and why. {remedy} Then run the same command again.",
    ),
    "bookkeeping-writable": Message(
        "Other roles may write to {subject}: {names}. Its contents decide what upgrades and downgrades do.",
        "Find out whether they have written to it. Then run: {remedy}",
    ),
    "rows-lost": Message(
        "A batch chose {chosen} rows of {subject} and wrote {written}, but {arrived} arrived: the batch was "
        "rolled back.",
        "A trigger or rule discards rows, or somebody has just added a column to the table. Disable the trigger "
        "or rule, if there is one, and run the same command again.",
    ),
    "function-kept": Message(
        "The function {subject} was not dropped: {reason}.",
        "Nothing to do. When nothing uses it any more: DROP FUNCTION {function};",
        severity="warning",
    ),
    "not-ready": Message(
        "{subject} is not ready after {waited}: {missing}.",
        "To see where it is: aoc-migrate status {subject}. Or raise --timeout.",
        exit_code=3,
    ),
    "evidence-incomplete": Message(
        "The evidence in {subject} is incomplete: {reason}. That did not stop the run.",
        "Keep this report, and make room. For another verify report: aoc-migrate verify {target} --format html "
        "--output verify.html",
        exit_code=4,
    ),
    # Surroundings
    "statistics-stale": Message(
        "PostgreSQL's statistics of {which} are missing or stale. It plans the audit, verify and the "
        "services' queries from them; with a bad plan, a query can take far longer.",
        "Run: ANALYZE {quoted};{also}",
        severity="warning",
    ),
    "limited-visibility": Message(
        "Role {role} cannot see how old other roles' transactions are, which indexes they build, what is "
        "vacuumed, or how far standbys lag: this report omits all that, and no step pauses for it. Locks, their "
        "holders and their waiters are visible.",
        "Run: GRANT pg_read_all_stats TO {quoted};",
        severity="warning",
    ),
    "planted-object": Message(
        "Schema {subject} contains functions or operators ({count}) that share a name with PostgreSQL's own and "
        "belong to untrusted roles: {names}. A service with this schema in its search_path may run them instead.",
        "aoc-migrate never runs them. Find out what they are for. To remove them: {drop}{revoke}",
        severity="warning",
    ),
    "role-timeouts": Message(
        "Role or database {subject} sets timeouts ({settings}) that would end long steps.",
        "Nothing to do; aoc-migrate lifts them for its own session.",
        severity="info",
    ),
    "old-transaction": Message(
        "Old snapshots are open ({names}); an index build waits until they end.",
        "Let them end first (a pg_dump, a report), or end one: SELECT pg_terminate_backend(PID);",
        severity="warning",
    ),
    "prepared-transaction": Message(
        "Prepared transactions ({names}) keep their locks until someone ends them.",
        "Ask the owner of each whether to commit it or to roll it back. Then run: COMMIT PREPARED 'NAME'; "
        "Or: ROLLBACK PREPARED 'NAME';",
        severity="warning",
    ),
    "replication-slot": Message(
        "Replication slots have no consumer: {names}; pg_wal also keeps everything that the backfill writes.",
        "Start their consumers. Only if nobody needs a slot, drop it: SELECT pg_drop_replication_slot('NAME');",
        severity="warning",
    ),
    "snapshot-held": Message(
        "{label} ran while old snapshots were open ({names}): vacuum could not remove dead rows, so the table and "
        "its indexes grew more than necessary.",
        "When the snapshots have ended: VACUUM {subject}; Next time, let them end before the backfill starts.",
        severity="warning",
    ),
    "vacuum-running": Message(
        "{label} ran while a vacuum was at work ({names}): they slowed each other down.",
        "Nothing to do. Next time, run VACUUM {subject}; before the backfill, or wait until autovacuum has ended.",
        severity="warning",
    ),
    "throttle-query-failed": Message(
        "The query of --throttle-query could not be read: {reason}. {label} did not pause for it then.",
        "Correct the query: one SELECT that returns one row with one boolean column, within a second, as the "
        "migrating role. Names outside pg_catalog carry their schema.",
        severity="warning",
    ),
    "held": Message(
        "The database is held at {revision}, by {by}, since `{command}` at {at}: a plain upgrade changes nothing.",
        "To upgrade again: aoc-migrate upgrade {target} --release-hold",
        severity="info",
    ),
    "plan-differs": Message(
        "The approved plan is not what would run now: {listed}.",
        "Make a new plan, and have it approved: {command}",
    ),
    "rollback-unfinished": Message(
        "A `{command}` to {revision}, started at {at} by {by}, has not finished.",
        "Run it again to finish it, or upgrade again: aoc-migrate upgrade {target} --release-hold",
        severity="warning",
    ),
    "already-finished": Message(
        "An earlier `{command}` has already reached {revision}, but its report was never fully printed.",
        "This run changed nothing. To go further down, run the command once more.",
        severity="info",
    ),
    "guard-still-on": Message(
        "AOC_GUARD_ENABLED is not false: turn off the services' guard before you remove the constraints.",
        "Set AOC_GUARD_ENABLED=false on the services and roll them out.",
        severity="warning",
    ),
    "links-not-restored": Message(
        "Of the links that the backfill and `chain --apply` wrote, {count} are not in {subject} any more: a "
        "downgrade leaves these as they are.",
        "If you need the old links, restore {subject} from a backup before the downgrade.",
        severity="warning",
    ),
    "view-changed-since": Message(
        "The view {subject} has changed since the swap: {what}.",
        "If the table should have these rights, do nothing; otherwise, grant or revoke them on the table after "
        "the downgrade.",
        severity="info",
    ),
    "rows-changed-since": Message(
        "Since the backfill, something else has changed the links of {n_rows} of {table}; they were left alone.",
        "Check them if they matter; the sample lists their ids. If the downgrade was interrupted and run again, "
        "this report covers only its last run; earlier runs have their own.",
        severity="warning",
    ),
    "rows-in-quarantine": Message(
        "{subject} contains {n_rows} that the backfill had linked, each with the link that it had when it moved.",
        "Nothing to do; after they are restored, the next upgrade links them again.",
        severity="info",
    ),
}
