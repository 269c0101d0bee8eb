"""What the audit finds in the rows, the table, the chain and the way of the view swap."""

from aoc_migrate.report.messages.message import DERIVED, DUPLICATE, FORBIDDEN, MISSING, UNKNOWN, Message

ROWS: dict[str, Message] = {
    # Rows, before
    "missing-required": Message(
        "{n_rows} of {table} without {column}; the contract requires it in every row.",
        "See what can be repaired, and what would move: aoc-migrate repair {target} --rule missing-required. "
        "Or fill {column} from the upstream document.",
        code=MISSING,
    ),
    "blank-key": Message(
        "{n_rows} of {table} with a blank {column}; a blank key makes different documents look the same.",
        "See what can be repaired, and what would move: aoc-migrate repair {target} --rule blank-key. "
        "Or fill {column} from the upstream document.",
        code=MISSING,
    ),
    "not-an-object": Message(
        "{n_rows} of {table} with a {column} that is neither NULL nor a JSON object.",
        "See what would become of them: aoc-migrate repair {target} --rule not-an-object. Or replace it by an "
        "object, or by NULL.",
    ),
    "forbidden-key": Message(
        "{n_rows} of {table} with a forbidden key at the top level of {column} ({keys}); "
        "derived values do not belong in raw rows.",
        "Remove the key from {column}: aoc-migrate repair {target} --rule forbidden-key --apply. Inside "
        "content.raw the upstream document may keep it.",
        code=FORBIDDEN,
    ),
    "derived-key": Message(
        "{n_rows} of {table} with a derived effective_* key at the top level of {column} ({keys}).",
        "Remove the key from {column}: aoc-migrate repair {target} --rule derived-key --apply. Derived values are "
        "computed downstream.",
        code=DERIVED,
    ),
    "forbidden-column": Message(
        "{table} has a column named {column}, which the contract forbids as a field of the envelope.",
        "Move its values to another table and drop the column.",
        code=FORBIDDEN,
    ),
    "duplicate-key": Message(
        "{n_groups} ({n_rows}) of {table} with one idempotency key each; the unique index cannot be built.",
        "See what would stay and move: aoc-migrate dedupe {target}. Then add --apply, and audit again.",
        code=DUPLICATE,
    ),
    "null-key": Message(
        "{n_rows} of {table} with a NULL in the idempotency key; NULLs let duplicates in, so they are "
        "not judged as duplicates here.",
        "See what can be repaired, and what would move: aoc-migrate repair {target} --rule null-key.",
        code=MISSING,
    ),
    "key-too-long": Message(
        "{n_rows} of {table} whose keys have more than {limit} bytes together; an index has no room for that.",
        "Shorten the ids of these rows, or move them out: aoc-migrate repair {target} --rule key-too-long --apply",
    ),
    "time-not-finite": Message(
        "{n_rows} of {table} whose {column} is infinity or -infinity; such a revision has no place in a chain.",
        "Set the time when the document was fetched, or move the rows out: "
        "aoc-migrate repair {target} --rule time-not-finite --apply",
        code=MISSING,
    ),
    "case-variant-key": Message(
        "{n_rows} of {table} with a variant of a forbidden key at the top level of {column} ({keys}); "
        "only the exact snake_case spelling is rejected.",
        "Find out which collector writes it, and stop it there.",
        severity="warning",
        code=UNKNOWN,
    ),
    "unguarded-column": Message(
        "{table} has a JSON column {column} that the contract does not know; nothing guards it.",
        "Make sure that no derived values are kept there.",
        severity="warning",
        code=UNKNOWN,
    ),
    "content-hash-form": Message(
        "{n_rows} of {table} with a content_hash that is not sha256: and 64 lower-case hex digits.",
        "Check the collector; two spellings of one hash are two idempotency keys.",
        severity="warning",
    ),
    "envelope-mismatch": Message(
        "{n_rows} of {table} with a {column} that differs from {field}.",
        "Find out which of the two is right; constraints, index and chain use {column}.",
        severity="warning",
    ),
    "column-missing": Message(
        "{table} has no column {column} of type {type}, which the contract needs.",
        "Add the column with the service's own migrations, or point the URL and schema at the right table.",
    ),
    "column-type": Message(
        "{table}.{column} is of type {actual}; the contract needs {type}.",
        "Convert the column with the service's own migrations before this upgrade.",
    ),
    "primary-key-missing": Message(
        "{table} has no primary key or unique index on id alone, or id may be NULL; links by id would be "
        "ambiguous.",
        "Run: CREATE UNIQUE INDEX CONCURRENTLY {table}_id_key ON {table} (id); and, where id may be NULL, in a "
        "quiet minute: ALTER TABLE {table} ALTER id SET NOT NULL;",
    ),
    # Before: tables, chain, view
    "table-missing": Message(
        "There is no table {table} in schema {schema}; there is nothing to look at.",
        "If it was there before, it was dropped, or lives elsewhere: set {variable}_DATABASE_URL and "
        "{variable}_DATABASE_SCHEMA. In a new database start the service once, or let `aoc-migrate upgrade "
        "{target}` create it (without --no-create).",
        exit_code=3,
    ),
    "table-kind": Message(
        "{subject} is a {kind}, not a table; it cannot hold the contract.",
        "Point the URL and schema at the table.",
    ),
    "retrofit-not-allowed": Message(
        "{n_rows} of {table} without the right supersedes link, and the backfill is an UPDATE of an append-only "
        "table.",
        "Set AOC_ALLOW_SUPERSEDES_RETROFIT=true for this run, and remove it after the cut-over.",
    ),
    "update-trigger": Message(
        "{table} has the trigger {trigger}, which fires at each row that the backfill updates.",
        "Disable it for the upgrade, or accept that it fires: {accept}",
    ),
    "foreign-code": Message(
        "Our writes to {table} run {subject} ({runs}), which belongs to {role}: that role decides what runs with "
        "our rights.",
        "Ask {role} what it does. Then read it, and hand it over: ALTER ROUTINE {subject} OWNER TO {owner}; Or "
        "drop what runs it, or accept it: {accept}",
    ),
    "needs-search-path": Message(
        "Our writes to {table} run {subject} ({runs}), which has no search_path of its own: it finds its "
        "tables and functions through search_path, and our session's holds only pg_catalog and pg_temp.",
        "Run: ALTER FUNCTION {subject} SET search_path = {path}; Or, where it names all of them with their "
        "schema, accept it: {accept}",
    ),
    "link-dependents": Message(
        "{what} depends on {table}.{column}: the backfill's updates go through it ({names}).",
        "Expect a slower backfill and more traffic; drop indexes on the column until the upgrade is done.",
        severity="warning",
    ),
    # Before: partitions
    "partition-key": Message(
        "{table} is partitioned by {key} (at {partitioned}); a unique index over all partitions must hold every "
        "column of that key, so it could not be on {columns} alone.",
        "Partition by columns of the idempotency key ({columns}), for example by tenant; that means a new table.",
    ),
    "foreign-partition": Message(
        "{partition} is a foreign table and a partition of {table}; no index and no proof can be made on it.",
        "Run: ALTER TABLE {table} DETACH PARTITION {partition};",
    ),
    "partition-id-index": Message(
        "{table} is partitioned and has no unique index on ({columns}), or id may be NULL; links are looked up by "
        "id.",
        "Run: CREATE UNIQUE INDEX {table}_id_key ON {table} ({columns}); it keeps writers waiting, and "
        "docs/operations.md says how not to.",
    ),
    "ambiguous-id": Message(
        "{n_rows} of {table} share their id with another row; no index over partitions can forbid that, and links "
        "by id would be ambiguous.",
        "Give each row an id of its own, such as one that begins with its tenant.",
    ),
    # Before: the view swap
    "swap-conflict": Message(
        "{subject} cannot be swapped for a view: {reason}.",
        "{remedy}",
    ),
    "swap-not-applicable": Message(
        "There is no table {subject}: nothing to swap for a view.",
        "Nothing to do; a fresh installation has none.",
        severity="info",
    ),
    "swap-dependents": Message(
        "What depends on {subject} will follow the table to its new name: {names}.",
        "Nothing to do if they may read the backup; re-create them over the view otherwise.",
        severity="info",
    ),
    "advisory-still-written": Message(
        "{subject} was written to while the audit looked; after the swap it is read-only and writers fail.",
        "Stop what writes to {subject} before the upgrade.",
        severity="warning",
    ),
}
