"""The words of every finding: slug, code, severity, problem and help. A finding without a text cannot exist.

The problem says what is wrong and why it hurts, the help what to type next, with the reader's own names in
it. Slugs are stable; each has a section in docs/rules.md. The codes ERR_AOC_… are StellaOps' violation codes
(domain.md, The rules).
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Text:
    """Problem and help of one slug, as format strings over the finding's values."""

    problem: str
    help: str
    severity: Literal["error", "warning", "info"] = "error"
    code: str | None = None
    exit_code: int = 1


FORBIDDEN, DUPLICATE, MISSING, DERIVED, UNKNOWN = (
    "ERR_AOC_001",
    "ERR_AOC_003",
    "ERR_AOC_004",
    "ERR_AOC_006",
    "ERR_AOC_007",
)

TEXTS: dict[str, Text] = {
    # Rows, before
    "missing-required": Text(
        "{rows} rows of {table} have no {column}; the contract requires it in every row.",
        "Fill {column} from the upstream document, or move these rows out of {table}; then run the audit again.",
        code=MISSING,
    ),
    "blank-key": Text(
        "{rows} rows of {table} have a blank {column}; a blank key makes different documents look the same.",
        "Fill {column} from the upstream document, or move these rows out of {table}.",
        code=MISSING,
    ),
    "not-an-object": Text(
        "{rows} rows of {table} have a {column} that is neither NULL nor a JSON object.",
        "Replace it by an object, or by NULL.",
    ),
    "forbidden-key": Text(
        "{rows} rows of {table} carry a forbidden key at the top level of {column} ({keys}); "
        "derived values do not belong in raw rows.",
        "Remove the key from {column}; inside content.raw the upstream document may keep it.",
        code=FORBIDDEN,
    ),
    "derived-key": Text(
        "{rows} rows of {table} carry a derived effective_* key at the top level of {column} ({keys}).",
        "Remove the key from {column}; derived values are computed downstream.",
        code=DERIVED,
    ),
    "forbidden-column": Text(
        "{table} has a column named {column}, which the contract forbids as a field of the envelope.",
        "Move its values to another table and drop the column.",
        code=FORBIDDEN,
    ),
    "duplicate-key": Text(
        "{count} groups ({rows} rows) of {table} share one idempotency key; the unique index cannot be built.",
        "Keep one row of each group, move the others to a table of their own, and run the audit again.",
        code=DUPLICATE,
    ),
    "null-key": Text(
        "{rows} rows of {table} have a NULL in the idempotency key; NULLs let duplicates in, so they are "
        "not judged as duplicates here.",
        "Mend the missing-required findings first.",
        code=MISSING,
    ),
    "key-too-long": Text(
        "{rows} rows of {table} have keys of more than {limit} bytes together; a btree index cannot hold them.",
        "Shorten the ids of these rows, or move them out of {table}.",
    ),
    "case-variant-key": Text(
        "{rows} rows of {table} carry a variant of a forbidden key at the top level of {column} ({keys}); "
        "only the exact snake_case spelling is rejected.",
        "Find out which collector writes it, and stop it there.",
        severity="warning",
        code=UNKNOWN,
    ),
    "unguarded-column": Text(
        "{table} has a JSON column {column} that the contract does not know; nothing guards it.",
        "Make sure that no derived values are kept there.",
        severity="warning",
        code=UNKNOWN,
    ),
    "content-hash-form": Text(
        "{rows} rows of {table} have a content_hash that is not sha256: and 64 lower-case hex digits.",
        "Check the collector; two spellings of one hash are two idempotency keys.",
        severity="warning",
    ),
    "envelope-mismatch": Text(
        "{rows} rows of {table} have a {column} that differs from {field}.",
        "Find out which of the two is right; constraints, index and chain use {column}.",
        severity="warning",
    ),
    "column-missing": Text(
        "{table} has no column {column} of type {type}, which the contract needs.",
        "Add the column with the service's own migrations, or point the URL and schema at the right table.",
    ),
    "column-type": Text(
        "{table}.{column} is of type {actual}; the contract needs {type}.",
        "Convert the column with the service's own migrations before this upgrade.",
    ),
    "primary-key-missing": Text(
        "{table} has no primary key or unique index on id alone; links by id would be ambiguous.",
        "Run: CREATE UNIQUE INDEX CONCURRENTLY {table}_id_key ON {table} (id);",
    ),
    # Before: tables, chain, view
    "table-missing": Text(
        "There is no table {table} in schema {schema}; there is nothing to look at.",
        "Start the service once, or let `aoc-migrate upgrade {target}` create it (without --no-create); if the "
        "table lives elsewhere, set {variable}_DATABASE_SCHEMA.",
        exit_code=3,
    ),
    "table-kind": Text(
        "{subject} is a {kind}, not an ordinary table; its constraints and indexes need other steps.",
        "Point the URL and schema at the ordinary table.",
    ),
    "retrofit-not-allowed": Text(
        "{rows} rows of {table} need a new supersedes link, and the backfill is an UPDATE of an append-only "
        "table.",
        "Set AOC_ALLOW_SUPERSEDES_RETROFIT=true for this run, and remove it after the cut-over.",
    ),
    "update-trigger": Text(
        "{table} has the trigger {trigger}, which fires at each row that the backfill updates.",
        "Disable it for the upgrade, or accept that it fires: --allow-triggers {trigger}",
    ),
    "link-dependents": Text(
        "{what} depends on {table}.{column}: the backfill's updates go through it ({names}).",
        "Expect a slower backfill and more traffic; drop indexes on the column until the upgrade is done.",
        severity="warning",
    ),
    "swap-conflict": Text(
        "{subject} cannot be swapped for a view: {reason}.",
        "{remedy}",
    ),
    "swap-not-applicable": Text(
        "There is no table {subject}: nothing to swap for a view.",
        "Nothing to do; a fresh installation has none.",
        severity="info",
    ),
    "swap-dependents": Text(
        "{count} objects depend on {subject} and will follow the table to its new name: {names}.",
        "Nothing to do if they may read the backup; re-create them over the view otherwise.",
        severity="info",
    ),
    "advisory-still-written": Text(
        "{subject} was written to while the audit looked; after the swap it is read-only and writers fail.",
        "Stop what writes to {subject} before the upgrade.",
        severity="warning",
    ),
    # Session
    "schema-missing": Text(
        "There is no schema {subject} in database {database}.",
        "Run: CREATE SCHEMA {quoted};",
        exit_code=3,
    ),
    "row-level-security": Text(
        "Row-level security hides rows of {subject} from role {role}; an audit would pass falsely.",
        "Connect as the table's owner or as a role with BYPASSRLS.",
    ),
    "wrong-database": Text(
        "Schema {subject} of this database is {other}'s, not {target}'s; their histories would mix.",
        "Check {variable}_DATABASE_URL and {variable}_DATABASE_SCHEMA.",
    ),
    "unknown-revision": Text(
        "{subject} holds revision {revision}, which this version ({version}) does not know.",
        "Use the version of aoc-migrate that wrote it, or a newer one.",
    ),
    "privileges": Text(
        "Role {role} may not {action}.",
        "{remedy}",
    ),
    "standby": Text(
        "This server is a read-only standby; an upgrade needs the primary.",
        "Point {variable}_DATABASE_URL at the primary, or add target_session_attrs=read-write to it.",
        exit_code=3,
    ),
    "read-only-role": Text(
        "Transactions of role {role} are read-only here (default_transaction_read_only).",
        "Connect as the role that owns the tables.",
    ),
    "server-version": Text(
        "This server is PostgreSQL {version}; PostgreSQL 15 is the oldest that can hold the contract.",
        "Upgrade the server first.",
        exit_code=2,
    ),
    "pooler": Text(
        "The connection goes through a pooler; session locks and settings would reach other sessions.",
        "Connect to PostgreSQL directly (its own port); for a pooler in session mode: --allow-session-pooler",
        exit_code=2,
    ),
    "unreachable": Text(
        "No connection to {target}: {reason}",
        "Check {variable}_DATABASE_URL, the server and the network; then run the same command again.",
        exit_code=3,
    ),
    # Running
    "lock-held": Text(
        "Another run holds the lock on {subject}: {holder}. We waited {waited}.",
        "Wait for it and run the same command again, or give --lock-wait more time.",
        exit_code=3,
    ),
    "deadline": Text(
        "{subject} could not be locked within {waited} ({attempts} tries of {stall} each). {blockers}",
        "{remedy}",
        exit_code=3,
    ),
    "step-failed": Text(
        "{subject} failed: {reason}.",
        "What was applied before stands. Mend the cause and run the same command again; it goes on here.",
    ),
    "foreign-object": Text(
        "{subject} exists already and was not made by aoc-migrate; it may mean something else.",
        "Look at it, then rename or drop it, and run the same command again.",
    ),
    "held": Text(
        "The database is held at {revision} since {at} by {by} after `{command}`: a plain upgrade changes "
        "nothing.",
        "To go on: aoc-migrate upgrade {target} --release-hold",
        severity="info",
    ),
    "unfinished": Text(
        "A `{command}` towards {revision} was begun at {at} by {by} and has not ended.",
        "Run it again to finish it, or go up again: aoc-migrate upgrade {target} --release-hold",
        severity="warning",
    ),
    "guard-still-on": Text(
        "AOC_GUARD_ENABLED is not false: the services' guard goes off before the constraints do.",
        "Set AOC_GUARD_ENABLED=false on the services and roll them out.",
        severity="warning",
    ),
    "rows-changed-since": Text(
        "{rows} rows of {table} were linked anew by others since the backfill; they were left as they are.",
        "Look at them if they matter; their ids are in the sample.",
        severity="warning",
    ),
    # After
    "not-at-head": Text(
        "{target} is at {revision}, head is {head}.",
        "Run: aoc-migrate upgrade {target}",
    ),
    "missing-constraint": Text(
        "{subject} is gone: nothing holds new rows to it.",
        "Run: aoc-migrate upgrade {target}",
    ),
    "unproven-constraint": Text(
        "{subject} is not validated: it holds new rows, old ones were not proven.",
        "Run: aoc-migrate upgrade {target}",
    ),
    "changed-constraint": Text(
        "{subject} is not the constraint that aoc-migrate made.",
        "Drop it (ALTER TABLE {table} DROP CONSTRAINT {constraint};) and run: aoc-migrate upgrade {target}",
    ),
    "missing-index": Text(
        "The index {subject} is gone.",
        "Run: aoc-migrate upgrade {target}",
    ),
    "invalid-index": Text(
        "The index {subject} is INVALID, left by a build that did not end.",
        "Run: aoc-migrate upgrade {target}",
    ),
    "changed-index": Text(
        "The index {subject} has another definition than the contract's.",
        "Drop it (DROP INDEX CONCURRENTLY {subject};) and run: aoc-migrate upgrade {target}",
    ),
    "view-target": Text(
        "{subject} is not the view over {backup}: {reason}.",
        "Run: aoc-migrate downgrade {target} {target}_0007, look at {subject}, then upgrade again.",
    ),
    "view-writable": Text(
        "{subject} can be written to: the trigger that makes it read-only is missing or off.",
        "Run: aoc-migrate upgrade {target}",
    ),
    "view-privileges": Text(
        "{subject} and {backup} have different owners or privileges: {names}.",
        "Grant on {subject} what {backup} grants; the view runs with its caller's rights, both are needed.",
        severity="warning",
    ),
    "chain-broken": Text(
        "{rows} rows of {table} have a wrong supersedes link: {kinds}.",
        "Look at the sample; to link them anew: AOC_ALLOW_SUPERSEDES_RETROFIT=true aoc-migrate chain {target} "
        "--apply",
    ),
    "chain-late": Text(
        "{rows} rows of {table} are out of chain order because a revision arrived late.",
        "To link them anew: AOC_ALLOW_SUPERSEDES_RETROFIT=true aoc-migrate chain {target} --apply",
        severity="warning",
    ),
    "retrofit-still-allowed": Text(
        "AOC_ALLOW_SUPERSEDES_RETROFIT is still true after the cut-over.",
        "Remove it from the environment.",
        severity="warning",
    ),
    "verifier-can-write": Text(
        "The verifier role {role} may write to {subject}.",
        "Run: REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON {subject} FROM {quoted};",
    ),
    "probe-not-possible": Text(
        "The negative probe could not run on {subject}: {reason}.",
        "The catalog checks stand; mend the cause and run: aoc-migrate verify {target} --probe",
        severity="warning",
    ),
    "probe-accepted": Text(
        "{table} accepted a probe row that the contract forbids: {what}.",
        "Run: aoc-migrate upgrade {target}; if it stays, look for triggers that change rows at INSERT.",
    ),
    "probe-wrong-error": Text(
        "{table} refused a probe row ({what}) for another reason than the contract's: {reason}.",
        "Look at the constraint or trigger named here; it may hide the contract's own.",
        severity="warning",
    ),
}
