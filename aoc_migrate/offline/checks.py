"""What a psql script refuses before it changes anything: the wrong place, and rows that break the contract."""

from aoc_migrate.contract.model import Contract, Part, ViewSwap
from aoc_migrate.database.books import STATE, VERSION
from aoc_migrate.database.ddl.printing import VARIABLE
from aoc_migrate.database.ours import guard
from aoc_migrate.database.signature import SIGNATURE
from aoc_migrate.inspect.audit import update_triggers
from aoc_migrate.inspect.duplicates import duplicates
from aoc_migrate.inspect.swap import breaking, partial_readers
from aoc_migrate.offline.accepting import code, split, variable
from aoc_migrate.offline.refusal import refuse
from aoc_migrate.operations.supersedes.statements import RETROFIT, wrong_links
from aoc_migrate.run.history import Revision, history

HELD = "pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted"


def place(target: str, tables: list[str]) -> str:
    """Refuse a transaction around the script, and a database in which this target cannot be migrated.

    The first of ``tables`` is the raw table.
    """
    named = ", ".join(VARIABLE[table].literal for table in tables)
    return "\n".join(
        [
            refuse(
                "statement_timestamp() <> transaction_timestamp()",
                "'this script commits by itself: run it without psql -1, with AUTOCOMMIT on'",
            ),
            refuse(
                "current_setting('server_version_num')::int < 150000",
                "'PostgreSQL ' || current_setting('server_version') || ' is too old: 15 or newer is needed'",
            ),
            refuse("pg_is_in_recovery()", "'this is a standby: run the script on the primary'"),
            refuse("current_setting('transaction_read_only')::boolean", "'this role may only read'"),
            refuse(
                "to_regnamespace(:'aoc_schema') IS NULL",
                "format('there is no schema %1$s here; create it with: CREATE SCHEMA %1$I', :'schema')",
            ),
            refuse(
                "NOT has_schema_privilege(to_regnamespace(:'aoc_schema'), 'CREATE')",
                "format('role %s may not create in schema %s', current_user, :'schema')",
            ),
            refuse(
                f"EXISTS (SELECT FROM unnest(ARRAY[{named}]) AS t JOIN pg_class ON oid = to_regclass(t) "
                "WHERE NOT pg_has_role(relowner, 'USAGE'))",
                "format('role %s has not the rights of the owner of the tables', current_user)",
            ),
            refuse(
                "EXISTS (SELECT FROM pg_class WHERE relkind = 'p' "
                f"AND oid = to_regclass({VARIABLE[tables[0]].literal}))",
                f"'{tables[0]} is partitioned, and this script does not build indexes partition by partition: "
                "run aoc-migrate itself'",
            ),
            f"{guard(VARIABLE, VARIABLE[tables[0]])};",
            _other_target(target),
        ]
    )


def _other_target(target: str) -> str:
    return f"""SELECT to_regclass({VARIABLE[STATE].literal}) IS NOT NULL AS aoc_state_there \\gset
\\if :aoc_state_there
{
        refuse(
            f"EXISTS (SELECT FROM {VARIABLE[STATE]} WHERE name = 'target' AND value->>'name' <> '{target}')",
            f"'the history of another target stands in this schema: this script is for {target}'",
        )
    }\\endif
"""


def where_it_stands(target: str, lowest: int, highest: int) -> str:
    """Set ``:aoc_position``, the number of revisions applied, and refuse it outside of these bounds."""
    ids = ["", *(r.id for r in history(target))]
    listed = ", ".join(f"'{id_}'" for id_ in ids)
    wanted = " to ".join(dict.fromkeys(ids[n] or "base" for n in (lowest, highest)))
    return f"""SELECT to_regclass({VARIABLE[VERSION].literal}) IS NOT NULL AS aoc_version_there \\gset
\\set aoc_revision ''
\\if :aoc_version_there
SELECT coalesce(string_agg(version_num, ', '), '') AS aoc_revision FROM {VARIABLE[VERSION]} \\gset
\\endif
SELECT coalesce(array_position(ARRAY[{listed}], :'aoc_revision'), 0) - 1 AS aoc_position \\gset
{
        refuse(
            f"NOT :aoc_position BETWEEN {lowest} AND {highest}",
            f"format('the database is at %s; this script starts from {wanted}', "
            "coalesce(nullif(:'aoc_revision', ''), 'base'))",
        )
    }"""


def still_locked() -> str:
    """Refuse to go on without the lock, which a pooler between takes away."""
    return refuse(
        f"NOT EXISTS (SELECT FROM pg_locks WHERE {HELD} AND "
        "((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint)",
        "'the lock is not ours any more: connect to PostgreSQL directly, not through a pooler'",
    )


def audit(
    contract: Contract, revisions: list[Revision], swap: tuple[ViewSwap, str] | None, *, code_too: bool = True
) -> str:
    """Return the block that reads every row and refuses to go on where one breaks what ``revisions`` prove.

    ``code_too``: and where they would run code of others.
    """
    parts = {r.part for r in revisions}
    blocks = [_shape(contract)]
    rules = list(contract.row_checks()) if Part.GUARD in parts else []
    rules += [contract.required_check()] if Part.GUARD in parts else []
    rules += [contract.document_check()] if Part.CONTENT in parts else []
    raw = VARIABLE[contract.table]
    if rules:
        listed = ",\n      ".join(f"('{r.name}', '{r.signature}', $p${r.predicate}$p$)" for r in rules)
        signature = SIGNATURE.format(oid="c.oid")
        blocks.append(_ROWS.format(table=contract.table, raw=raw, rules=listed, signature=signature))
    if Part.IDEMPOTENCY in parts:
        groups, index = f"{duplicates(contract, raw)} LIMIT 1", VARIABLE[contract.idempotency_index().name]
        blocks.append(_DUPLICATES.format(table=contract.table, index=index, groups=groups))
    chain = next((r.id for r in revisions if r.part is Part.CHAIN), None)
    if chain:
        blocks.append(_chain(contract, chain))
    if swap and swap[1] in [r.id for r in revisions]:
        blocks.append(_swap(*swap))
    return f"""DO $aoc_audit$
#variable_conflict use_column
DECLARE
  errors int := 0; rows bigint; links bigint := -1; counted text; counts jsonb; found record;
  accepted text[] := {split("current_setting('aoc.accept')")};
BEGIN
  IF to_regclass({raw.literal}) IS NOT NULL THEN
{"".join(blocks)}  END IF;
{code(contract, linking=chain is not None) if code_too else ""}  IF errors > 0 THEN
    RAISE EXCEPTION 'the audit found % errors and nothing was changed: mend them and run the script again', errors;
  END IF;
END $aoc_audit$;
"""


def _shape(contract: Contract) -> str:
    optional = (contract.link, "created_at")
    needed = ", ".join(f"'{c.name}'" for c in contract.columns if c.name not in optional)
    raw = VARIABLE[contract.table].literal
    return f"""  SELECT string_agg(name, ', ') INTO counted FROM unnest(ARRAY[{needed}]) AS name WHERE NOT EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass({raw}) AND attname = name
      AND NOT attisdropped);
  IF counted IS NOT NULL OR (SELECT relkind FROM pg_class WHERE oid = to_regclass({raw})) <> 'r' THEN
    RAISE EXCEPTION '{contract.table} is not the table that the contract knows; it lacks: %',
      coalesce(counted, 'being a plain table');
  END IF;
"""


_ROWS = """  SELECT string_agg(format(
      'count(*) FILTER (WHERE NOT (%1$s)) AS %2$I, to_json(min(id) FILTER (WHERE NOT (%1$s))) AS %3$I',
      predicate, name, name || ' id'), ', ') INTO counted
    FROM (VALUES
      {rules}
    ) AS rule (name, signed, predicate) WHERE NOT EXISTS (SELECT FROM pg_constraint c
      WHERE c.conrelid = to_regclass({raw.literal}) AND c.conname = name AND c.convalidated
        AND {signature} = signed);
  IF counted IS NOT NULL THEN
    EXECUTE format('SELECT to_jsonb(c) FROM (SELECT %s FROM %s) AS c', counted, {raw.literal}) INTO counts;
    FOR found IN SELECT key, value, (counts->(key || ' id'))::text AS example FROM jsonb_each_text(counts)
      WHERE key NOT LIKE '% id' AND value <> '0' ORDER BY key
    LOOP
      errors := errors + 1;
      RAISE WARNING '% rows of {table} break %, for example id %', found.value, found.key, found.example;
    END LOOP;
  END IF;
"""

_DUPLICATES = """  SELECT count(*) INTO rows FROM pg_index
    WHERE indexrelid = to_regclass({index.literal}) AND indisvalid;
  IF rows = 0 THEN
    SELECT coalesce((SELECT d.groups FROM ({groups}) AS d), 0) INTO rows;
    IF rows > 0 THEN
      errors := errors + 1;
      RAISE WARNING '% groups of rows of {table} have one idempotency key (ERR_AOC_003)', rows;
    END IF;
  END IF;
"""


def _chain(contract: Contract, revision: str) -> str:
    """Without a link column, a row needs a link when it has a predecessor."""
    key, raw, state = ", ".join(contract.chain_key), VARIABLE[contract.table], VARIABLE[STATE]
    unlinked = f"SELECT FROM (SELECT row_number() OVER (PARTITION BY {key}) AS n FROM {raw}) r WHERE n > 1"
    linked = f"attrelid = to_regclass({raw.literal}) AND attname = '{contract.link}' AND NOT attisdropped"
    return f"""  IF to_regclass({state.literal}) IS NOT NULL THEN
    SELECT count(*) INTO rows FROM {VARIABLE[STATE]} WHERE name = '{revision}' AND (value->>'done')::boolean;
  ELSE
    rows := 0;
  END IF;
  IF rows = 0 THEN
    IF EXISTS (SELECT FROM pg_attribute WHERE {linked}) THEN
      SELECT count(*) INTO rows FROM ({wrong_links(contract, raw)}) AS wrong;
    ELSE
      SELECT count(*) INTO rows FROM ({unlinked}) AS wrong;
    END IF;
    links := rows;
    IF rows > 0 AND NOT current_setting('{RETROFIT}')::boolean THEN
      errors := errors + 1;
      RAISE WARNING '% rows of {contract.table} need a supersedes link: allow it with -v retrofit=1', rows;
    END IF;
    FOR found IN {update_triggers(contract, raw)} LOOP
      CONTINUE WHEN rows = 0 OR 'update-trigger:' || found.tgname = ANY (accepted);
      errors := errors + 1;
      RAISE WARNING 'the backfill would fire trigger %: disable it, or accept it with -v %', found.tgname,
        {variable("'update-trigger:' || found.tgname")};
    END LOOP;
  END IF;
"""


def _swap(swap: ViewSwap, revision: str) -> str:
    view, backup = VARIABLE[swap.view], VARIABLE[swap.backup]
    return f"""  IF (SELECT relkind FROM pg_class WHERE oid = to_regclass({view.literal})) IN ('r', 'p') THEN
    IF to_regclass({backup.literal}) IS NOT NULL THEN
      errors := errors + 1;
      RAISE WARNING '{swap.view} cannot be swapped: the name {swap.backup} is taken';
    END IF;
    FOR found IN SELECT kind || ' ' || name AS what, name FROM ({breaking(view)}) AS b
      UNION ALL SELECT 'role ' || role, role FROM ({partial_readers(view)}) AS p
    LOOP
      CONTINUE WHEN 'swap-conflict:' || found.name = ANY (accepted);
      errors := errors + 1;
      RAISE WARNING 'the swap of {swap.view} would break %: change it, or accept it with -v %', found.what,
        {variable("'swap-conflict:' || found.name")};
    END LOOP;
  END IF;
"""
