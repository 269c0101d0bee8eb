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
}
