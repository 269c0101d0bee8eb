"""What `dedupe`, `repair` and their way back find, and what is wrong with the quarantine."""

from aoc_migrate.report.messages.message import Message

QUARANTINE: dict[str, Message] = {
    "duplicates-differ": Message(
        "{n_rows} of {table} have the key of another row and differ from it in more than when they were fetched.",
        "Look at the columns that differ (the fact duplicates), then add --include-different.",
    ),
    "move-trigger": Message(
        "Moving or repairing rows of {table} may fire the trigger {trigger} for each of them.",
        "Disable it for the time, or accept that: {accept}",
    ),
    "move-referenced": Message(
        "{n_rows} of {source} name rows of {table} that would be moved, by the foreign key {key}.",
        "Let them name another row first, or none; for duplicates, --keep latest keeps the other row of a group.",
    ),
    "guard-refuses": Message(
        "{n_rows} of {table} would have to be written, and break a constraint that stands already.",
        "Repair them in one go: aoc-migrate repair {target} --rule all --apply. If a constraint of your own "
        "refuses them, look at it first.",
    ),
    "repairs-collide": Message(
        "{n_rows} of {table} would have the idempotency key of another row once repaired, and the "
        "unique index stands.",
        "Run first: aoc-migrate downgrade {target} {target}_0003. Then repair, and dedupe what comes out.",
    ),
    "index-stands": Message(
        "The idempotency index of {table} stands, and would refuse the rows that are to be put back.",
        "Run first: aoc-migrate downgrade {target} {target}_0003",
    ),
    "guards-stand": Message(
        "{n_rows} to be put back into {table} break a constraint that stands, and would be refused.",
        "Run first: aoc-migrate downgrade {target} {target}_0001; or, to keep chain and view: "
        "aoc-migrate constraints {target} --remove",
    ),
    "id-taken": Message(
        "{n_rows} in quarantine have the id of a row that is in {table} now.",
        "Find out which is right, and rename or remove the other by hand.",
    ),
    "changed-since": Message(
        "{n_rows} of {table} were changed or removed after the repair; their originals stay in quarantine.",
        "Find out which is right: aoc-migrate quarantine writes the originals to a file with --export.",
    ),
    "newer-run-first": Message(
        "Run {run} put rows into {subject} later; runs go back latest first.",
        "Run first: aoc-migrate {command} {target} --restore --run {run}",
    ),
    "work-unfinished": Message(
        "A `{verb} {options}` was begun on {table} and has not ended: rows are still listed for it.",
        "Finish it: aoc-migrate {verb} {target} {options} --apply. Or take it back: "
        "aoc-migrate {verb} {target} --restore",
        severity="warning",
    ),
    "quarantine-open": Message(
        "{subject} should be its owner's alone, but others have rights on it or own it: {names}.",
        "Revoke them: it holds whole rows, also those that no reader of {subject} should rely on.",
        severity="warning",
    ),
}
