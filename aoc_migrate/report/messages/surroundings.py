"""What surrounds a session: privileges, sessions and files of others; holds, and what a rollback leaves."""

from aoc_migrate.report.messages.message import Message

SURROUNDINGS: dict[str, Message] = {
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
        "When the snapshots have ended: VACUUM {raw}; Next time, let them end before the backfill starts.",
        severity="warning",
    ),
    "vacuum-running": Message(
        "{label} ran while a vacuum was at work ({names}): they slowed each other down.",
        "Nothing to do. Next time, run VACUUM {raw}; before the backfill, or wait until autovacuum has ended.",
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
