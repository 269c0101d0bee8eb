"""An upgrade, a downgrade or `constraints --remove` as one psql script.

The same statements in the same transactions as online, under the same lock. The script asks the catalog what is
left to do, so that it may be run again after an interruption.
"""

from collections.abc import Iterable, Iterator

from aoc_migrate import __version__
from aoc_migrate.contract.model import Part
from aoc_migrate.database.books import HOLD, LOG, STATE, VERSION, create_books, share
from aoc_migrate.database.ddl.printing import VARIABLE, Script
from aoc_migrate.database.lock import HELD
from aoc_migrate.database.pinned import preamble
from aoc_migrate.database.relation import literal
from aoc_migrate.database.settings import Limits
from aoc_migrate.database.state import claim
from aoc_migrate.offline.accepting import code_on_the_way_back, split
from aoc_migrate.offline.checks import audit, place, still_locked, where_it_stands
from aoc_migrate.offline.job import Job, due, stamp
from aoc_migrate.offline.refusal import journal_is_private, refuse
from aoc_migrate.offline.schema_variable import SET, with_schema
from aoc_migrate.operations.supersedes.statements import RETROFIT
from aoc_migrate.report.accepted import ACCEPTABLE
from aoc_migrate.run.history import Revision, contract_at, history, position, swap_of
from aoc_migrate.run.rendering import checksum, render_script

_VARIABLES = {
    "schema": ("NAME", "where the tables are"),
    "release_hold": ("1", "go up although a rollback holds the database"),
    "retrofit": ("1", "let the backfill write links, as AOC_ALLOW_SUPERSEDES_RETROFIT=true does"),
    "accept": ("SLUG:OBJECT", "findings to accept, separated by commas"),
}


def script(job: Job, into: Script, schema: str = "public", owner: str | None = None) -> str:
    """Return the psql script of a job. ``schema`` is its default; ``owner`` is for a table that it makes."""
    about = f"{job.target}, from {job.name(job.start)} to {job.name(job.goal)}"
    names = ("schema", "accept") if job.down else _VARIABLES
    return with_schema("\n".join([header(about, names=names), head(schema, into.limits), body(job, into, owner)]))


def header(about: str, more: str = "", names: Iterable[str] = _VARIABLES) -> str:
    """Return the comment that a script begins with: what it is, how it is run, and the variables it knows."""
    known = "".join(f"--   -v {name + '=' + _VARIABLES[name][0]:16}  {_VARIABLES[name][1]}\n" for name in names)
    return f"""-- {about}. Made by aoc-migrate {__version__} for PostgreSQL 15 and newer.
--
--   psql -X -d DATABASE -f THIS.sql         or on stdin: psql -X -d DATABASE < THIS.sql
--
{more}{known}--
-- It commits by itself, so never with psql -1. Interrupted, it goes on when it is run again.
-- Exit code 0: done, nothing to do, or held. 3: refused or failed; stderr says why.
"""


def head(schema: str, limits: Limits) -> str:
    """Return what is the same for every job: variables and settings of the session."""
    quoted = literal(schema).replace("\\", "\\\\")  # psql reads a backslash as C does
    defaults = {"schema": quoted, "retrofit": "0", "release_hold": "0", "accept": "''"}
    variables = "".join(default(name, value) for name, value in defaults.items())
    return f"""{quiet()}
{variables}
{preamble({"lock_timeout": f"{limits.deadline}s", "row_security": "off"})}
{SET}
SELECT set_config('{RETROFIT}', (:'retrofit'::boolean)::text, false) AS aoc_retrofit,
  set_config('aoc.accept', :'accept', false) AS aoc_accept, :'release_hold'::boolean AS release_hold \\gset
{_acceptable()}"""


def _acceptable() -> str:
    """Refuse what ``-v accept`` names and cannot be accepted."""
    slugs, given = ", ".join(ACCEPTABLE), split(":'accept'")
    return refuse(
        f":'accept' <> '' AND EXISTS (SELECT FROM unnest({given}) AS given "
        f"WHERE given !~ '^({'|'.join(ACCEPTABLE)}):.*[^ ,]$')",
        f"'accept is SLUG:OBJECT, several with a comma between them; a slug is one of {slugs}'",
    )


def quiet() -> str:
    """Return psql's settings: stop at the first error, print no tags, and of an error the message alone.

    Its DETAIL could hold rows.
    """
    return "\\set ON_ERROR_STOP on\n\\set QUIET on\n\\set VERBOSITY terse\n\\set SHOW_CONTEXT never"


def default(name: str, value: str) -> str:
    """Return what gives a psql variable its value unless ``-v`` did."""
    return f"\\if :{{?{name}}}\n\\else\n\\set {name} {value}\n\\endif\n"


def body(job: Job, into: Script, owner: str | None = None) -> str:
    """Return the job itself."""
    swap = swap_of(job.target)
    tables = [contract_at(job.target, None).table, *([swap[0].view, swap[0].backup] if swap else [])]
    bounds = (0, len(history(job.target))) if job.converge else sorted((job.start, job.goal))
    left = "true" if job.down or job.converge else f":aoc_position < {job.goal} OR :'aoc_held'::boolean"
    parts = [
        f"SET application_name TO 'aoc-migrate {job.command}';",
        place(job.target, tables),
        _lock(job.target, into.limits),
        where_it_stands(job.target, *bounds),
        "" if job.down else _stop_at_hold(),
        journal_is_private(tables[0]) if job.down and any(r.part is Part.CHAIN for r in job.revisions) else "",
        f"SELECT {left} AS aoc_left \\gset\n\\if :aoc_left",
        *([_code_on_the_way_back(job)] if job.down else _audits(job)),
        _begin(job),
        *(_section(job, revision, into, owner) for revision in job.revisions),
        _end(job),
        "\\else",
        f"\\echo '{job.target} is there already: nothing to do'",
        "\\endif",
        "SELECT pg_advisory_unlock(current_setting('aoc.lock')::bigint) AS aoc_unlocked \\gset",
    ]
    return "\n".join(parts) + "\n"


def _lock(target: str, limits: Limits) -> str:
    """Poll for the lock of `aoc_migrate.database.lock`: the first eight bytes of a SHA-256, as a bigint."""
    return f"""SELECT set_config('aoc.lock', ('x' || encode(substring(sha256(convert_to(
  'aoc-migrate/{target}/' || :'schema', 'UTF8')) FOR 8), 'hex'))::bit(64)::bigint::text, false) AS aoc_lock \\gset
DO $aoc$
DECLARE
  begun timestamptz := clock_timestamp();
  told timestamptz := clock_timestamp() - interval '1 minute';
  holders text; ending text;
BEGIN
  WHILE NOT pg_try_advisory_lock(current_setting('aoc.lock')::bigint) LOOP
    SELECT string_agg(concat_ws(', ', 'pid ' || pid, 'prepared transaction ' || to_json(gid), to_json(application),
        'role ' || to_json(role)), '; '),
      string_agg(CASE WHEN pid IS NOT NULL THEN format('SELECT pg_terminate_backend(%s);', pid)
        WHEN gid ~ '^[ -~]+$' THEN format('ROLLBACK PREPARED %L;', gid)
        ELSE 'SELECT * FROM pg_prepared_xacts;' END, ' ')
    INTO holders, ending FROM ({HELD.format(key="current_setting('aoc.lock')::bigint").strip()}) AS held;
    IF clock_timestamp() - begun > interval '{limits.lock_wait} s' THEN
      RAISE EXCEPTION 'another run holds the lock (%); we waited since %. Run it again later, or end that: %',
        holders, begun, ending;
    ELSIF clock_timestamp() - told > interval '5 s' THEN
      RAISE WARNING 'waiting for another run, which holds the lock (%); to end it: %', holders, ending;
      told := clock_timestamp();
    END IF;
    COMMIT;
    PERFORM pg_sleep(0.1 + random() * 0.4);
  END LOOP;
END $aoc$;
"""


def _stop_at_hold() -> str:
    """Stop where a rollback holds the database, with exit code 0, as online."""
    return f"""\\set aoc_held false
SELECT to_regclass({VARIABLE[HOLD].literal}) IS NOT NULL AS aoc_hold_there \\gset
\\if :aoc_hold_there
SELECT EXISTS (SELECT FROM {VARIABLE[HOLD]}) AS aoc_held \\gset
\\endif
SELECT :'aoc_held'::boolean AND NOT :'release_hold'::boolean AS aoc_stop \\gset
\\if :aoc_stop
SELECT format('held since %s by %s after %s: nothing was changed; to go on: -v release_hold=1',
  held_at, held_by, command) AS aoc_reason FROM {VARIABLE[HOLD]} \\gset
\\warn :aoc_reason
\\quit
\\endif
"""


def _audits(job: Job) -> Iterator[str]:
    """Audit what the goal proves; another rule only where it stood before and is put back."""
    within = [r for r in job.revisions if job.start < position(job.target, r.id) <= job.goal]
    swap = swap_of(job.target)
    yield audit(contract_at(job.target, within[-1].id if within else None), within, swap)
    for revision in (r for r in job.revisions if r not in within):
        inside = audit(contract_at(job.target, revision.id), [revision], swap, code_too=False)
        yield f"SELECT {due(job, revision)} AS aoc_due \\gset\n\\if :aoc_due\n{inside}\\endif"


def _code_on_the_way_back(job: Job) -> str:
    linking = any(revision.part is Part.CHAIN for revision in job.revisions)
    return code_on_the_way_back(contract_at(job.target, None), linking=linking)


def _begin(job: Job) -> str:
    """Make our own tables where they are missing, write the run down, and the hold of a rollback."""
    names = ", ".join(f"'{name}'" for name in ("base", *(r.id for r in history(job.target))))
    sums = ", ".join(f"'{r.id}', '{checksum(r)}'" for r in ([] if job.down else job.revisions))
    goal = f"(ARRAY[{names}])[:aoc_position + 1]" if job.converge else f"'{job.name(job.goal)}'"
    log = VARIABLE[LOG]
    return f"""{create_books(VARIABLE, VERSION, STATE, HOLD, LOG)};
{claim(VARIABLE, job.target)};
UPDATE {log} SET outcome = 'interrupted', ended_at = seen_at WHERE ended_at IS NULL;
INSERT INTO {log} (command, from_revision, goal, host, version, checksums)
  SELECT '{job.command}', (ARRAY[{names}])[:aoc_position + 1], {goal},
    coalesce(host(inet_client_addr()), 'local'), '{__version__}', jsonb_build_object({sums})
  RETURNING run AS aoc_run \\gset
{_hold(job, finished=False) if job.down else ""}
"""


def _hold(job: Job, *, finished: bool) -> str:
    revision = "nullif(:'aoc_revision', '')" if job.converge else f"nullif('{job.name(job.goal)}', 'base')"
    columns = ("command", "revision", "held_by", "held_at", "finished", "acknowledged")
    changed = ", ".join(f"{column} = excluded.{column}" for column in columns)
    return f"""INSERT INTO {VARIABLE[HOLD]} ({", ".join(columns)})
  SELECT '{job.command}', {revision}, current_user || '@psql', now(), {str(finished).lower()}, true
  ON CONFLICT (one) DO UPDATE SET {changed};"""


def _section(job: Job, revision: Revision, into: Script, owner: str | None) -> str:
    title = f"{revision.id} {job.function}: {revision.title}".replace("'", "''")
    return f"""SELECT {due(job, revision)} AS aoc_due \\gset
\\if :aoc_due
\\echo '{title}'
SET application_name TO 'aoc-migrate psql {job.function} {revision.id}';
{still_locked()}
{render_script(revision, job.function, into, owner)}{stamp(job, revision)}\\endif
"""


def _end(job: Job) -> str:
    raw = VARIABLE[contract_at(job.target, None).table]
    now = f"coalesce((SELECT version_num FROM {VARIABLE[VERSION]}), 'base')"
    return f"""{_hold(job, finished=True) if job.down else f"DELETE FROM {VARIABLE[HOLD]};"}
{share(VARIABLE, raw)};
UPDATE {VARIABLE[LOG]} SET outcome = 'done', revision = {now}, ended_at = now(), seen_at = now()
  WHERE run = :aoc_run;
SELECT format('{job.target} is at %s', {now}) AS aoc_reason \\gset
\\echo :aoc_reason"""
