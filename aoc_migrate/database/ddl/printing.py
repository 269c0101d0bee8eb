"""What of a step is printed: Alembic's own ``--sql``, or a psql script that asks the catalog and tries again."""

import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aoc_migrate.database.relation import Relation, Schema, literal
from aoc_migrate.database.session import Session
from aoc_migrate.database.settings import Limits

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext

RUNTIME, SCRIPT = "aoc_session", "aoc_script"
VARIABLE = Schema("aoc schema")  # in a script: the schema that psql's variable names when it runs
STRONG, WEAK, ROWS = "ACCESS EXCLUSIVE, for an instant", "SHARE UPDATE EXCLUSIVE", "rows of one batch"


@dataclass
class Script:
    """A psql script in the making: the limits that it keeps to, and the steps printed so far, for a plan.

    Each step is its ``statement`` in a few words and the ``lock`` that it takes.
    """

    limits: Limits = field(default_factory=Limits)
    steps: list[dict[str, Any]] = field(default_factory=list)


def migration() -> "MigrationContext":
    """Return Alembic's context. Imported late: a command that changes nothing never loads Alembic."""
    from alembic import op

    return op.get_context()


def online() -> Session | None:
    """Return the session that this revision runs on, or None when it is rendered with ``--sql``."""
    context = migration()
    session = context.opts.get(RUNTIME)
    return None if context.as_sql or not isinstance(session, Session) else session


def schema() -> Schema:
    """Return the schema of the target: the session's, or the one that is rendered for."""
    session = online()
    return session.schema if session else Schema(str(migration().version_table_schema))


def script() -> Script | None:
    """Return the psql script that this revision is rendered into, None for Alembic's own ``--sql``."""
    found: Script | None = migration().opts.get(SCRIPT)
    return found


def emit(*statements: str) -> None:
    """Print statements of the offline script."""
    for statement in statements:
        migration().impl.static_output(f"{statement};")


def run_if(statement: str, condition: str) -> None:
    r"""Print ``statement`` so that psql runs it only where the query ``condition`` has a row.

    In a script that is ``\if``, as elsewhere in it; in Alembic's own ``--sql`` one statement with ``\gexec``.
    """
    if script() is None:
        migration().impl.static_output(f"SELECT {literal(statement)} WHERE EXISTS ({condition})\n\\gexec")
        return
    with needed(f"EXISTS ({condition})"):
        emit(statement)
    planned(title([statement]), WEAK)


@contextmanager
def needed(condition: str) -> Iterator[None]:
    r"""In a psql script, let what is printed inside run only where the boolean ``condition`` holds (``\if``).

    Online it is the revision's function that asks the catalog; Alembic's own ``--sql`` asks nothing.
    """
    asking = online() is None and script() is not None
    if asking:
        migration().impl.static_output(f"SELECT {condition} AS aoc_needed \\gset\n\\if :aoc_needed")
    yield
    if asking:
        migration().impl.static_output("\\endif")


def planned(label: str, lock: str) -> None:
    """Note a step and the lock that it takes, for the plan."""
    into = script()
    if into is not None:
        into.steps.append({"statement": label, "lock": lock})


def title(statements: Sequence[str]) -> str:
    """Return the first words of a step's first ALTER or CREATE, for logs and reports, with bare names."""
    telling = [s for s in statements if s.startswith(("ALTER", "CREATE", "DROP"))]
    line = " ".join((telling or statements)[0].split()).replace(f"{schema()}.", "")
    line = re.sub(r'"([a-z_][a-z0-9_]*)"', r"\1", line)
    return line if len(line) <= 80 else line[:79] + "…"


def retried(table: Relation, statements: Sequence[str], limits: Limits) -> str:
    """Return a DO block that runs ``statements`` in one transaction and tries again when a lock is not to be had.

    Each try is a subtransaction. In between everything is let go, and whoever locks ``table`` is named. The
    block cannot bound its own ``statement_timeout``: that clock starts with the outer statement.
    """
    inside = [s for s in statements if not s.startswith("SET LOCAL statement_timeout")]
    body = textwrap.indent(";\n".join(inside) + ";", "      ")
    return f"""DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
{body}
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '{limits.deadline} s' THEN
      RAISE EXCEPTION '{table.name}: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        ({_HOLDERS.format(table=table.literal)});
    END IF;
    RAISE WARNING '{table.name}: a try gave up (%). Locked by %.', aoc_reason,
      ({_HOLDERS.format(table=table.literal)});
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$"""


_HOLDERS = """SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass({table}) AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()"""
