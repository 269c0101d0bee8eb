"""What a psql script lets happen by ``-v accept``, and the code of others that it refuses to run without that."""

from aoc_migrate.contract.model import Contract
from aoc_migrate.database.attached_code import DDL, LINKING, NEEDS, attached
from aoc_migrate.database.books import JOURNAL
from aoc_migrate.database.ddl.printing import VARIABLE
from aoc_migrate.report.accepted import ACCEPTABLE


def split(given: str) -> str:
    """Return ``given``, an SQL text, as an array: split at each comma that a slug and a colon follow."""
    return f"regexp_split_to_array({given}, ',(?=({'|'.join(ACCEPTABLE)}):)')"


def variable(object_: str) -> str:
    """Return, as SQL, the variable that accepts a finding as one types it in a shell; ``object_`` is SLUG:OBJECT.

    A name that holds a comma with a slug and a colon behind it, or ends with one, cannot be accepted.
    """
    text = f"'accept=' || {object_}"
    quoted = f"$q$'$q$ || replace({text}, $q$'$q$, $q$'\"'\"'$q$) || $q$'$q$"
    return f"CASE WHEN {text} ~ '^[A-Za-z0-9_@=:./-]+$' THEN {text} ELSE {quoted} END"


def code(contract: Contract, *, linking: bool) -> str:
    """Return the loop that counts ``errors`` for code that event triggers or, if ``linking``, links would run.

    ``links`` is the number of links to be written, -1 where no statement writes any.
    """
    events = DDL | (LINKING if linking else 0)
    name = "found.slug || ':' || found.function"
    return f"""  FOR found IN {attached(VARIABLE[contract.table], contract, events)}  LOOP
    CONTINUE WHEN {name} = ANY (accepted) OR found.events & {DDL} = 0
      AND (links < 0 OR links = 0 AND found.slug = '{NEEDS}');
    errors := errors + 1;
    RAISE WARNING '%: this script would run %, which belongs to role % (%); accept it with -v %',
      found.slug, found.function, found.owner, array_to_string(found.names, ', '),
      {variable(name)};
  END LOOP;
"""


def code_on_the_way_back(contract: Contract, *, linking: bool) -> str:
    """Return the block that refuses a downgrade which would run such code; ``linking``: it sets links back."""
    journal = VARIABLE[JOURNAL]
    count = f"""  IF to_regclass({journal.literal}) IS NOT NULL THEN
    SELECT count(*) INTO links FROM {journal};
  END IF;
"""
    return f"""DO $aoc_code$
#variable_conflict use_column
DECLARE
  errors int := 0; links bigint := -1; found record;
  accepted text[] := {split("current_setting('aoc.accept')")};
BEGIN
{count if linking else ""}{code(contract, linking=linking)}  IF errors > 0 THEN
    RAISE EXCEPTION 'nothing was changed: repair that and run the script again';
  END IF;
END $aoc_code$;
"""
