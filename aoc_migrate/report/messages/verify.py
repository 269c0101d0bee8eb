"""What verify finds: does the contract hold?"""

from aoc_migrate.report.messages.message import Message

VERIFY: dict[str, Message] = {
    # After
    "not-at-head": Message(
        "{target} is at {revision}; head is {head}. {promise} Pending: {pending}.",
        "Run: aoc-migrate upgrade {target}",
        severity="warning",
    ),
    "since-without-index": Message(
        "--since read the whole table to find recent rows: no index begins with {subject}.",
        "To read less next time, run: CREATE INDEX CONCURRENTLY ON {on} ({column}); Each INSERT then maintains "
        "one more index. That pays if verify --since runs often.",
        severity="info",
    ),
    "missing-constraint": Message(
        "{subject} is missing: new rows can break it.",
        "Run: aoc-migrate upgrade {target}",
        many="{count} constraints are missing: new rows can break them.",
    ),
    "unproven-constraint": Message(
        "{subject} is not validated: it guards new rows, but existing rows may break it.",
        "Run: aoc-migrate upgrade {target}",
        many="{count} constraints are not validated: they guard new rows, but existing rows may break them.",
    ),
    "changed-constraint": Message(
        "{subject}, or the function that it calls, differs from the contract.",
        "Find out who changed it, and why. To replace it, drop it: "
        "ALTER TABLE {raw} DROP CONSTRAINT {constraint};{function} Then run: aoc-migrate upgrade {target}",
    ),
    "function-not-executable": Message(
        "{names} may write to {table} but may not execute {subject}, which its rules call: every write fails.",
        "Run: aoc-migrate upgrade {target}, or: GRANT EXECUTE ON FUNCTION {function} TO PUBLIC;",
    ),
    "missing-index": Message(
        "The index {subject} is missing.",
        "Run: aoc-migrate upgrade {target}",
        many="{count} indexes are missing.",
    ),
    "invalid-index": Message(
        "The index {subject} is INVALID: its build did not finish.",
        "Run: aoc-migrate upgrade {target}",
        many="{count} indexes are INVALID: their builds did not finish.",
    ),
    "leftover": Message(
        "An interrupted run has left something on partitions of {subject}: {names}.",
        "Run: aoc-migrate upgrade {target}",
        severity="warning",
    ),
    "incomplete-index": Message(
        "The index {subject} is INVALID or missing on shards of the Citus cluster.",
        "Drop it: DROP INDEX CONCURRENTLY IF EXISTS {index}; Then run: aoc-migrate upgrade {target}",
    ),
    "changed-index": Message(
        "The definition of index {subject} differs from the contract.",
        "Find out who changed it, and why. To replace it, drop it: DROP INDEX CONCURRENTLY {index}; "
        "Then run: aoc-migrate upgrade {target}",
    ),
    "view-target": Message(
        "{subject} is not the view over {backup}: {reason}.",
        "Find out who replaced it, and why. If a view has that name, drop it; if a table has it, rename it. "
        "Then run: aoc-migrate downgrade {target} {target}_0007, and: aoc-migrate upgrade {target} --release-hold",
    ),
    "view-writable": Message(
        "{subject} accepts writes: the trigger that makes it read-only is missing or disabled.",
        "Run: aoc-migrate upgrade {target}",
    ),
    "view-owner": Message(
        "{subject} and the function that makes it read-only do not belong to {owner}, as {backup} does: their "
        "owner may change them.",
        "Run: ALTER VIEW {view} OWNER TO {owner}; ALTER FUNCTION {function}() OWNER TO {owner};",
    ),
    "view-code": Message(
        "{subject} has code that is not ours ({names}): it may write to {backup} before our trigger refuses the "
        "write.",
        "Find out who created it, and what it has written. Then run: {remedy}",
    ),
    "view-bypasses-policies": Message(
        "{subject} reads with its owner's rights, so the row-level security of {backup} does not apply to its "
        "readers.",
        "Run: aoc-migrate upgrade {target}",
    ),
    "view-privileges": Message(
        "{subject} and {backup} have different owners or privileges: {names}.",
        "Grant on {subject} what {backup} grants.",
        severity="warning",
    ),
    "chain-broken": Message(
        "{table} has {n_rows} with a wrong supersedes link: {kinds}.",
        "Check the sample. To link the rows again: AOC_ALLOW_SUPERSEDES_RETROFIT=true aoc-migrate chain {target} "
        "--apply",
    ),
    "chain-late": Message(
        "{table} has {n_rows} out of chain order because a revision arrived late.",
        "To link the rows again: AOC_ALLOW_SUPERSEDES_RETROFIT=true aoc-migrate chain {target} --apply",
        severity="warning",
    ),
    "edited-revision": Message(
        "The SQL that applied revision {subject} differs from the SQL that this version has for it.",
        "Compare the versions: aoc-migrate history {target}. Never edit a released revision, add a new one.",
        severity="warning",
    ),
    "retrofit-still-allowed": Message(
        "AOC_ALLOW_SUPERSEDES_RETROFIT is still true after the cut-over.",
        "Remove it from the environment.",
        severity="warning",
    ),
    "verifier-can-write": Message(
        "The verifier role {role} may do more to {subject} than read it.",
        "Run: REVOKE {rights} ON {subject} FROM {quoted}; Also check whether PUBLIC has rights on it.",
    ),
    "probe-not-possible": Message(
        "The negative probe could not run on {subject}: {reason}.",
        "The catalog checks still count. Fix the cause and run: aoc-migrate verify {target} --probe",
        severity="warning",
    ),
    "probe-accepted": Message(
        "{table} accepted a probe row that the contract forbids: {what}.",
        "Run: aoc-migrate upgrade {target}; if the finding remains, look for triggers that change rows at INSERT.",
    ),
    "probe-wrong-error": Message(
        "{table} refused a probe row ({what}), but not by the contract's constraint: {reason}.",
        "Check the constraint or trigger named here; it may hide that the contract's own is missing.",
        severity="warning",
    ),
}
