"""What verify finds: does the contract stand?"""

from aoc_migrate.report.messages.message import Text

STANDING: dict[str, Text] = {
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
        "{subject}, or the function that it calls, is not what the contract asks for.",
        "Drop it (ALTER TABLE {table} DROP CONSTRAINT {constraint};){function}, "
        "and run: aoc-migrate upgrade {target}",
    ),
    "function-not-executable": Text(
        "{names} may write to {table}, but may not execute {subject}, which its rules call: every write fails.",
        "Run: aoc-migrate upgrade {target}, or: GRANT EXECUTE ON FUNCTION {function} TO PUBLIC;",
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
        "If a view has that name, drop it; if a table has it, rename that. Then run: aoc-migrate downgrade "
        "{target} {target}_0007, and: aoc-migrate upgrade {target} --release-hold",
    ),
    "view-writable": Text(
        "{subject} can be written to: the trigger that makes it read-only is missing or off.",
        "Run: aoc-migrate upgrade {target}",
    ),
    "view-bypasses-policies": Text(
        "{subject} runs with its owner's rights, but {backup} has row-level security: its policies are bypassed.",
        "Run: aoc-migrate upgrade {target}",
    ),
    "view-privileges": Text(
        "{subject} and {backup} have different owners or privileges: {names}.",
        "Grant on {subject} what {backup} grants.",
        severity="warning",
    ),
    "chain-broken": Text(
        "{n_rows} of {table} with a wrong supersedes link: {kinds}.",
        "Look at the sample; to link them anew: AOC_ALLOW_SUPERSEDES_RETROFIT=true aoc-migrate chain {target} "
        "--apply",
    ),
    "chain-late": Text(
        "{n_rows} of {table} out of chain order because a revision arrived late.",
        "To link them anew: AOC_ALLOW_SUPERSEDES_RETROFIT=true aoc-migrate chain {target} --apply",
        severity="warning",
    ),
    "edited-revision": Text(
        "Revision {subject} was applied with other SQL than this version has for it.",
        "Compare the versions (aoc-migrate history {target}); a changed revision is a new revision.",
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
        "The catalog checks stand; repair the cause and run: aoc-migrate verify {target} --probe",
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
