"""What the audit finds in the rows, the table and the chain, and what would block the view swap."""

from aoc_migrate.report.messages.message import DERIVED, DUPLICATE, FORBIDDEN, MISSING, UNKNOWN, Message

ROWS: dict[str, Message] = {
    # Rows, before
    "missing-required": Message(
        "{table} has {n_rows} without {column}, which the contract requires in every row.",
        "Show what can be repaired and what would move to quarantine: "
        "aoc-migrate repair {target} --rule missing-required. Or fill in the value from the upstream document.",
        code=MISSING,
        many="Rows lack a value in {count} columns that the contract requires in every row.",
    ),
    "blank-key": Message(
        "{table} has {n_rows} with a blank {column}; a blank key makes different documents look the same.",
        "Show what can be repaired and what would move to quarantine: "
        "aoc-migrate repair {target} --rule blank-key. Or fill in the value from the upstream document.",
        code=MISSING,
        many="Rows have a blank value in {count} columns of a key; a blank key makes different documents look the "
        "same.",
    ),
    "not-an-object": Message(
        "{table} has {n_rows} whose {column} is neither NULL nor a JSON object.",
        "Show what repair would do: aoc-migrate repair {target} --rule not-an-object. Or replace the value with "
        "an object or NULL.",
        many="Rows have a value that is neither NULL nor a JSON object in {count} columns.",
    ),
    "forbidden-key": Message(
        "{table} has {n_rows} with a forbidden key at the top level of {column} ({keys}); "
        "derived values do not belong in raw rows.",
        "Remove the key: aoc-migrate repair {target} --rule forbidden-key --apply. "
        "The upstream document inside content.raw may keep it.",
        code=FORBIDDEN,
    ),
    "derived-key": Message(
        "{table} has {n_rows} with a derived effective_* key at the top level of {column} ({keys}).",
        "Remove the key: aoc-migrate repair {target} --rule derived-key --apply. Derived values are computed "
        "downstream.",
        code=DERIVED,
    ),
    "forbidden-column": Message(
        "{table} has a column named {column}; the contract forbids that field in the envelope.",
        "Move its values to another table and drop the column.",
        code=FORBIDDEN,
    ),
    "duplicate-key": Message(
        "{table} has {n_groups} ({n_rows}) that share an idempotency key; the unique index cannot be built.",
        "Show which rows would stay and which would move: aoc-migrate dedupe {target}. "
        "Then add --apply, and audit again.",
        code=DUPLICATE,
    ),
    "null-key": Message(
        "{table} has {n_rows} with a NULL in the idempotency key; NULLs let duplicates in, so these rows are "
        "not checked for duplicates.",
        "Show what can be repaired and what would move to quarantine: "
        "aoc-migrate repair {target} --rule null-key.",
        code=MISSING,
    ),
    "key-too-long": Message(
        "{table} has {n_rows} with a key of more than {limit} bytes, which does not fit in an index.",
        "Shorten the ids of these rows, or move them to quarantine: "
        "aoc-migrate repair {target} --rule key-too-long --apply",
    ),
    "time-not-finite": Message(
        "{table} has {n_rows} whose {column} is infinity or -infinity; the chain cannot order them.",
        "Set the time when the document was fetched, or move the rows to quarantine: "
        "aoc-migrate repair {target} --rule time-not-finite --apply",
        code=MISSING,
    ),
    "case-variant-key": Message(
        "{table} has {n_rows} with a variant of a forbidden key at the top level of {column} ({keys}); "
        "the contract rejects only the exact snake_case spelling.",
        "Find the collector that writes it and stop it there.",
        severity="warning",
        code=UNKNOWN,
    ),
    "unguarded-column": Message(
        "{table} has a JSON column {column} that the contract does not cover; no constraint guards it.",
        "Make sure that it holds no derived values.",
        severity="warning",
        code=UNKNOWN,
    ),
    "content-hash-format": Message(
        "{table} has {n_rows} whose content_hash is not sha256: followed by 64 lower-case hex digits.",
        "Check the collector: two spellings of one hash make two idempotency keys.",
        severity="warning",
    ),
    "envelope-mismatch": Message(
        "{table} has {n_rows} whose {column} differs from {field}.",
        "Find out which of the two is right; the constraints, the indexes and the chain use {column}.",
        severity="warning",
    ),
    "column-missing": Message(
        "{table} has no column {column} of type {type}, which the contract requires.",
        "Add the column with the service's own migrations, or point the URL and schema at the right table.",
    ),
    "column-type": Message(
        "{table}.{column} has type {actual}; the contract requires {type}.",
        "Convert the column with the service's own migrations, then upgrade.",
    ),
    "primary-key-missing": Message(
        "{table} has no primary key or unique index on {columns} alone, or id allows NULL; links by id would be "
        "ambiguous.",
        "Run: CREATE UNIQUE INDEX CONCURRENTLY {table}_id_key ON {raw} ({columns}); If id allows NULL, also "
        "run, at a quiet time: ALTER TABLE {raw} ALTER id SET NOT NULL;",
    ),
    "child-tables": Message(
        "Other tables inherit from {table} ({names}): their rows count as rows of {table}, but its indexes do not "
        "cover them, so neither ids nor keys would be unique.",
        "Move their rows to {table}. Then run, for each: ALTER TABLE {child} NO INHERIT {raw};",
    ),
    "row-refused": Message(
        "{subject} failed: {reason}. That row was stored after the audit, or nothing was audited.",
        "Earlier steps are kept. Find the row, and what to type for it: aoc-migrate audit {target}",
    ),
    # Before: tables, chain, view
    "table-missing": Message(
        "Schema {schema} has no table {table}, so there is nothing to check.",
        "If the table existed before, it was dropped or is somewhere else: check {url} and "
        "{variable}_DATABASE_SCHEMA. In a new database, start the service once, or let `aoc-migrate upgrade "
        "{target}` create the table (without --no-create).",
        exit_code=3,
    ),
    "table-created": Message(
        "{table} did not exist, and the upgrade created it, empty.",
        "In a new installation, there is nothing to do. Otherwise, this may be the wrong database: check "
        "{variable}_DATABASE_URL and {variable}_DATABASE_SCHEMA.",
        severity="warning",
    ),
    "table-kind": Message(
        "{subject} is a {kind}, not a table; it cannot carry the contract.",
        "Point the URL and schema at the table.",
    ),
    "table-unlogged": Message(
        "{subject} is UNLOGGED ({names}): a crash of the server empties it, and a standby has none of its rows.",
        "Run, while nobody needs the table, because it is rewritten: ALTER TABLE {first} SET LOGGED;",
        severity="warning",
    ),
    "distribution-key": Message(
        "{subject} is {how}; on a Citus cluster, a raw table must be distributed by tenant, be a reference table, "
        "or stay on the coordinator.",
        "{remedy}",
    ),
    "retrofit-not-allowed": Message(
        "{table} has {n_rows} without the right supersedes link, and the backfill has to UPDATE an append-only "
        "table.",
        "Put AOC_ALLOW_SUPERSEDES_RETROFIT=true in front of the command, for that run only.",
    ),
    "update-trigger": Message(
        "{table} has a trigger {trigger}, which fires for every row that the backfill updates.",
        "Disable it during the upgrade, or let it fire: {accept}",
    ),
    "foreign-code": Message(
        "Our writes to {table} run {subject} ({runs}), which belongs to {role}: that role decides what runs with "
        "our privileges.",
        "Ask {role} what it does and read its source. Then change its owner: ALTER ROUTINE {subject} OWNER TO "
        "{owner}; Or drop what runs it, or accept it: {accept}",
    ),
    "foreign-key-owner": Message(
        "For our writes to {table}, PostgreSQL checks {runs} with a query of {subject}, which belongs to {role}: "
        "that role's functions in indexes of {subject} can run in our session, and change how it works.",
        "Ask {role} what the table is for. Then change its owner: ALTER TABLE {subject} OWNER TO {owner}; Or drop "
        "the key, or accept it: {accept}",
    ),
    "needs-search-path": Message(
        "Our writes to {table} run {subject} ({runs}), which sets no search_path: it resolves its names through "
        "the session's, and ours contains only pg_catalog and pg_temp.",
        "Run: ALTER FUNCTION {subject} SET search_path = {path}; Or, if it qualifies every name with a schema, "
        "accept it: {accept}",
    ),
    "update-rule": Message(
        "No link can be written to {subject}: {reason}.",
        "{remedy}",
    ),
    "replica-identity": Message(
        "No link can be written to {subject}: {reason}.",
        "{remedy}",
    ),
    "link-generated": Message(
        "No link can be written to {subject}: {reason}.",
        "{remedy}",
    ),
    "link-refused": Message(
        "{subject} refuses the new links of {n_rows}: {reason}.",
        "{remedy}",
    ),
    "link-dependents": Message(
        "Every link that the backfill writes to {table}.{column} also goes to {what} ({names}).",
        "Expect a slower backfill and more traffic; you may drop indexes on the column until the upgrade is done.",
        severity="warning",
    ),
}
