"""The operators' psql scripts of the guide: the duplicate audit of each target, and the constraints of either."""

from aoc_migrate import __version__
from aoc_migrate.contract.model import Contract
from aoc_migrate.database.ddl.printing import VARIABLE, Script
from aoc_migrate.database.pinned import preamble
from aoc_migrate.database.settings import TARGETS, Limits
from aoc_migrate.inspect.duplicates import duplicates_and_nulls
from aoc_migrate.offline.job import constraints_job, remove_job
from aoc_migrate.offline.refusal import refuse
from aoc_migrate.offline.schema_variable import SET, with_schema
from aoc_migrate.offline.script import body, default, head, header, quiet
from aoc_migrate.run.history import contract_at
from aoc_migrate.run.history import head as head_of

APPLY = "apply-aoc-constraints.sql"


def operator_scripts() -> dict[str, str]:
    """Return file name and text of each."""
    contracts = [contract_at(target, head_of(target)) for target in TARGETS]
    checks = {f"check-{c.table.replace('_', '-')}-duplicates.sql": duplicate_script(c) for c in contracts}
    return {**checks, APPLY: constraints_script()}


def duplicate_script(contract: Contract) -> str:
    """Return the duplicate audit of one raw table; psql ends with 3 when there are conflicts."""
    table, key = contract.table, contract.idempotency_key
    raw = VARIABLE[table]
    groups = duplicates_and_nulls(contract, str(raw))
    columns = ", ".join(["n bigint", *(f"{column} text" for column in key), "ids text[]"])
    return with_schema(f"""-- Duplicate audit of {table}: groups of rows with one idempotency key ({
        ", ".join(key)
    }).
-- Made by aoc-migrate {__version__} for PostgreSQL 15 and newer. It reads every row and changes nothing.
--
--   psql -X -d DATABASE -f THIS.sql -v LIMIT=200      or on stdin: psql -X -d DATABASE < THIS.sql
--
--   -v LIMIT=N        groups printed, the largest first; the verdict is over all of them
--   -v schema=NAME    where the table is
--
-- Exit code 0: no conflict. 3: conflicts, or it could not look; stderr says which.

{quiet()}
{default("LIMIT", "200")}{default("schema", "'public'")}
{preamble({"lock_timeout": "0", "row_security": "off", "default_transaction_read_only": "on"})}
{SET}
{
        refuse(
            f"to_regclass({raw.literal}) IS NULL",
            f"format('there is no {table} in schema %s of database %s', :'schema', current_database())",
        )
    }
{refuse(":'LIMIT' !~ '^[1-9][0-9]{0,8}$'", "'LIMIT is a number from 1 on, such as -v LIMIT=200'")}
SELECT coalesce(jsonb_agg(found) FILTER (WHERE n > 1), '[]') AS aoc_found, coalesce(max(groups), 0) AS aoc_groups,
  coalesce(max(rows), 0) AS aoc_rows, max(nulls) AS aoc_nulls, max(nulls) > 0 AS aoc_any FROM (
{groups.replace("%s", ":LIMIT")}
) AS found \\gset
\\if :aoc_any
\\echo {table}: :aoc_nulls rows lack a part of the key; the constraints will refuse them, see aoc-migrate audit
\\endif
SELECT :aoc_groups > 0 AS aoc_any \\gset
\\if :aoc_any
\\pset footer off
\\pset pager off
SELECT n AS rows, {", ".join(key)}, array_to_string(ids, ' ') AS ids FROM ROWS FROM (
  jsonb_to_recordset(:'aoc_found'::jsonb) AS ({columns})) WITH ORDINALITY ORDER BY ordinality;
\\endif
{
        refuse(
            ":aoc_groups > 0",
            f"format('{table}: %s groups of %s rows have one key (ERR_AOC_003); the index would refuse them', "
            ":aoc_groups, :aoc_rows)",
        )
    }
\\echo {table}: no conflicts
""")


def constraints_script() -> str:
    """Return the script that puts constraints and idempotency index in, of either target, or takes them away."""
    tables = {target: contract_at(target, head_of(target)).table for target in TARGETS}
    goals = " or ".join(job.name(job.goal) for job in map(constraints_job, TARGETS))
    more = f"""-- Constraints and idempotency index: the state of `aoc-migrate upgrade TARGET {goals}`.
-- The guard of the column content follows the backfill, with the upgrade to head: it would slow it down.
--
--   -v remove=1          take constraints and idempotency index away, and hold there
--   -v target=NAME       {" or ".join(TARGETS)}; else it is found by its table ({" or ".join(tables.values())})
"""
    return with_schema(
        "\n".join(
            [
                header("AOC constraints of concelier or excititor", more, ("schema", "release_hold", "accept")),
                head("public", Limits()),
                default("remove", "0") + default("target", "''"),
                _which(tables),
                *(_either(target) for target in TARGETS),
            ]
        )
    )


def _which(tables: dict[str, str]) -> str:
    """Find out which target the schema is of, unless ``-v target`` says it."""
    found = ", ".join(f"('{target}', {VARIABLE[table].literal})" for target, table in tables.items())
    names = ", ".join(f"'{target}'" for target in tables)
    return f"""SELECT coalesce(nullif(:'target', ''), (SELECT string_agg(target, ' and ') FROM (VALUES {found})
  AS known (target, name) WHERE to_regclass(name) IS NOT NULL), 'neither') AS aoc_target,
  :'remove'::boolean AS aoc_remove \\gset
{
        refuse(
            f":'aoc_target' NOT IN ({names})",
            "format('schema %s of database %s holds the raw table of %s: name one with -v target=NAME', "
            ":'schema', current_database(), :'aoc_target')",
        )
    }"""


def _either(target: str) -> str:
    return f"""SELECT :'aoc_target' = '{target}' AS aoc_this \\gset
\\if :aoc_this
\\if :aoc_remove
{body(remove_job(target), Script())}\\else
{body(constraints_job(target), Script())}\\endif
\\endif
"""
