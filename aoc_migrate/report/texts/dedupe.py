"""What `dedupe` finds in its way."""

from aoc_migrate.report.texts.model import Text

DEDUPE: dict[str, Text] = {
    "duplicates-differ": Text(
        "{n_rows} of {table} have the key of another row and differ from it in more than when they were fetched.",
        "Look at the columns that differ (the fact duplicates), then add --include-different.",
    ),
    "move-trigger": Text(
        "Moving rows of {table} would fire the trigger {trigger} for each of them.",
        "Disable it for the time, or accept that: --allow-triggers {trigger}",
    ),
    "move-referenced": Text(
        "{n_rows} of {source} name rows of {table} that would be moved, by the foreign key {key}.",
        "Let them name the row that stays first, or keep the other row: --keep latest",
    ),
    "index-stands": Text(
        "The idempotency index of {table} stands, and would refuse the rows that are to be put back.",
        "Run first: aoc-migrate downgrade {target} {target}_0003",
    ),
    "id-taken": Text(
        "{n_rows} in quarantine have the id of a row that is in {table} now.",
        "Find out which is right, and rename or remove the other by hand.",
    ),
}
