"""How a psql script refuses to go on, and what it refuses of our own tables."""

from aoc_migrate.database.books import JOURNAL
from aoc_migrate.database.ddl.printing import VARIABLE
from aoc_migrate.database.ours import writers


def refuse(condition: str, reason: str) -> str:
    """Return what ends the script (exit code 3) where the boolean ``condition`` holds; ``reason`` is SQL text."""
    return f"""SELECT {condition} AS aoc_refused,
  set_config('aoc.reason', coalesce({reason}, ''), false) AS aoc_reason \\gset
\\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\\endif
"""


def journal_is_private(raw: str) -> str:
    """Refuse to set links back from a journal that others may write to."""
    found = f"SELECT * FROM ({writers(VARIABLE, VARIABLE[raw], (JOURNAL,))}) AS w"
    names = "string_agg(format('%s (%s)', grantee, rights), ', ')"
    return refuse(
        f"EXISTS ({found})",
        f"(SELECT 'others may write to {JOURNAL}: ' || {names} || '; find out whether they did, and revoke that' "
        f"FROM ({found}) AS w)",
    )
