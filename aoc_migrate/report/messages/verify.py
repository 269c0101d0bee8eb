"""What verify finds: does the contract stand?"""

from aoc_migrate.report.messages.message import Message

VERIFY: dict[str, Message] = {
    # After
    "not-at-head": Message(
        "{target} is at {revision}, head is {head}.",
        "Run: aoc-migrate upgrade {target}",
    ),
    "missing-constraint": Message(
        "{subject} is gone: nothing holds new rows to it.",
        "Run: aoc-migrate upgrade {target}",
    ),
    "unproven-constraint": Message(
        "{subject} is not validated: it holds new rows, old ones were not proven.",
        "Run: aoc-migrate upgrade {target}",
    ),
    "changed-constraint": Message(
        "{subject}, or the function that it calls, is not what the contract asks for.",
        "Drop it (ALTER TABLE {table} DROP CONSTRAINT {constraint};){function}, "
        "and run: aoc-migrate upgrade {target}",
    ),
    "function-not-executable": Message(
        "{names} may write to {table}, but may not execute {subject}, which its rules call: every write fails.",
        "Run: aoc-migrate upgrade {target}, or: GRANT EXECUTE ON FUNCTION {function} TO PUBLIC;",
    ),
    "missing-index": Message(
        "The index {subject} is gone.",
        "Run: aoc-migrate upgrade {target}",
    ),
    "invalid-index": Message(
        "The index {subject} is INVALID, left by a build that did not end.",
        "Run: aoc-migrate upgrade {target}",
    ),
    "changed-index": Message(
        "The index {subject} has another definition than the contract's.",
        "Drop it (DROP INDEX CONCURRENTLY {subject};) and run: aoc-migrate upgrade {target}",
    ),
    "view-target": Message(
        "{subject} is not the view over {backup}: {reason}.",
        "If a view has that name, drop it; if a table has it, rename that. Then run: aoc-migrate downgrade "
        "{target} {target}_0007, and: aoc-migrate upgrade {target} --release-hold",
    ),
    "view-writable": Message(
        "{subject} can be written to: the trigger that makes it read-only is missing or off.",
        "Run: aoc-migrate upgrade {target}",
    ),
    "view-bypasses-policies": Message(
        "{subject} runs with its owner's rights, but {backup} has row-level security: its policies are bypassed.",
        "Run: aoc-migrate upgrade {target}",
    ),
    "view-privileges": Message(
        "{subject} and {backup} have different owners or privileges: {names}.",
        "Grant on {subject} what {backup} grants.",
        severity="warning",
    ),
    "chain-broken": Message(
        "{n_rows} of {table} with a wrong supersedes link: {kinds}.",
        "Look at the sample; to link them anew: AOC_ALLOW_SUPERSEDES_RETROFIT=true aoc-migrate chain {target} "
        "--apply",
    ),
    "chain-late": Message(
        "{n_rows} of {table} out of chain order because a revision arrived late.",
        "To link them anew: AOC_ALLOW_SUPERSEDES_RETROFIT=true aoc-migrate chain {target} --apply",
        severity="warning",
    ),
    "edited-revision": Message(
        "Revision {subject} was applied with other SQL than this version has for it.",
        "Compare the versions (aoc-migrate history {target}); a changed revision is a new revision.",
        severity="warning",
    ),
    "retrofit-still-allowed": Message(
        "AOC_ALLOW_SUPERSEDES_RETROFIT is still true after the cut-over.",
        "Remove it from the environment.",
        severity="warning",
    ),
    "verifier-can-write": Message(
        "The verifier role {role} may write to {subject}.",
        "Run: REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON {subject} FROM {quoted};",
    ),
    "probe-not-possible": Message(
        "The negative probe could not run on {subject}: {reason}.",
        "The catalog checks stand; repair the cause and run: aoc-migrate verify {target} --probe",
        severity="warning",
    ),
    "probe-accepted": Message(
        "{table} accepted a probe row that the contract forbids: {what}.",
        "Run: aoc-migrate upgrade {target}; if it stays, look for triggers that change rows at INSERT.",
    ),
    "probe-wrong-error": Message(
        "{table} refused a probe row ({what}) for another reason than the contract's: {reason}.",
        "Look at the constraint or trigger named here; it may hide the contract's own.",
        severity="warning",
    ),
}
