"""What `dedupe`, `repair` and their way back find, and what is wrong with the quarantine."""

from aoc_migrate.report.messages.message import Message

QUARANTINE: dict[str, Message] = {
    "duplicates-differ": Message(
        "{table} has {n_groups} whose rows share a key but differ in more than the fetch time; their surplus "
        "({n_rows}) stays.",
        "Check the columns that differ; the statement in --format json lists the rows. To move these too, add "
        "--include-different.",
    ),
    "move-trigger": Message(
        "Moving or repairing rows of {table} may fire the trigger {trigger} for each row.",
        "Disable it for now, or let it fire: {accept}",
    ),
    "move-referenced": Message(
        "{source} has {n_rows} that reference rows to be moved out of {table}, through the foreign key {key}.",
        "Change or clear those references first; for duplicates, --keep latest keeps the other row of a group.",
    ),
    "move-cascades": Message(
        "Moving a row of {table} would change {source}, because its foreign key {key} has ON DELETE {action}; "
        "--restore would not put that back.",
        "For now, replace the key by one without ON DELETE. To drop it: "
        "ALTER TABLE {source} DROP CONSTRAINT {key};",
    ),
    "constraint-refuses": Message(
        "{table} has {n_rows} that have to be updated, but an existing constraint refuses them.",
        "Repair all rules at once: aoc-migrate repair {target} --rule all --apply. If one of your own constraints "
        "refuses them, check it first.",
    ),
    "repairs-collide": Message(
        "Repair would give {n_rows} of {table} the idempotency key of another row; the unique index refuses that.",
        "Run first: aoc-migrate downgrade {target} {target}_0003. Then repair, and dedupe the result.",
    ),
    "index-in-place": Message(
        "The idempotency index of {table} would refuse the rows to be restored.",
        "Run first: aoc-migrate downgrade {target} {target}_0003",
    ),
    "constraints-in-place": Message(
        "The constraints of {table} would refuse {n_rows} of those to be restored.",
        "Run first: aoc-migrate downgrade {target} {target}_0001; or, to keep chain and view: "
        "aoc-migrate constraints {target} --remove",
    ),
    "id-taken": Message(
        "The quarantine has {n_rows} with the id of a row that is now in {table}.",
        "Find out which row is right, and rename or remove the other by hand.",
    ),
    "column-gone": Message(
        "The quarantine has {n_rows} with values in columns that {table} does not have any more ({columns}); "
        "restoring them would lose these values.",
        "Put the columns back: ALTER TABLE {raw} {add}; If one has a new name, rename it in quarantine too: "
        "ALTER TABLE {quarantine} RENAME {column} TO new_name; If nobody needs its values: "
        "UPDATE {quarantine} SET {column} = NULL;",
    ),
    "type-changed": Message(
        "{table} has the column {column} as {type}, and its quarantine as {kept}: {reason}.",
        "{remedy}",
    ),
    "column-required": Message(
        "{table} requires a value in the column {column}, which the rows in quarantine do not have.",
        "Give {column} of {raw} a default until the rows are back. Then run the same command again.",
    ),
    "changed-since": Message(
        "Since the repair, {n_rows} of {table} were changed or removed; the originals stay in quarantine.",
        "Find out which version is right. To write the originals to a file: "
        "aoc-migrate quarantine {target} --export FILE",
    ),
    "newer-run-first": Message(
        "Run {later} ({command}) put rows into {subject} after run {run}; runs are restored latest first.",
        "Run first: aoc-migrate {command} {target} --restore --run {later} --apply",
    ),
    "work-unfinished": Message(
        "A `{verb} {options}` on {table} has not finished: its work list still has rows.",
        "To finish it: aoc-migrate {verb} {target} {options} --apply. To undo it: "
        "aoc-migrate {verb} {target} --restore --apply",
        severity="warning",
    ),
    "quarantine-exposed": Message(
        "Only the owner of the raw table should have rights on {subject}, but these roles own it or have rights "
        "on it: {names}.",
        "Revoke them: the quarantine holds whole rows, documents included.",
        severity="warning",
    ),
}
