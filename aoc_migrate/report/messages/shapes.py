"""What the audit finds in the partitions of the raw table, and before the view swap."""

from aoc_migrate.report.messages.message import Message

SHAPES: dict[str, Message] = {
    "partition-key": Message(
        "{table} is partitioned by {key} (at {partitioned}); a unique index across partitions must include every "
        "column of that key, so it cannot be on {columns} alone.",
        "Partition by columns of the idempotency key ({columns}), for example by tenant; this needs a new table.",
    ),
    "foreign-partition": Message(
        "{partition}, a partition of {table}, is a foreign table; it can have no index, and its rows cannot be "
        "validated.",
        "Run: ALTER TABLE {raw} DETACH PARTITION {partition};",
    ),
    "partition-own-key": Message(
        "{partition} has a primary key of its own, whose {columns} may be NULL in {table}: before PostgreSQL 18, "
        "no rollback could drop NOT NULL there.",
        "Run: {remedy}",
    ),
    "partition-id-index": Message(
        "{table} is partitioned and has no unique index on ({columns}), or id allows NULL; links are looked up by "
        "id.",
        "Run: CREATE UNIQUE INDEX {table}_id_key ON {raw} ({columns}); It blocks writers while it builds; "
        "docs/rules.md shows how to avoid that.",
    ),
    "ambiguous-id": Message(
        "{table} has {n_rows} that share an id with another row; no index across partitions can prevent that, and "
        "links by id would be ambiguous.",
        "Give each row its own id, for example one that begins with its tenant.",
    ),
    # Before: the view swap
    "swap-conflict": Message(
        "{subject} cannot be replaced with a view: {reason}.",
        "{remedy}",
    ),
    "swap-back-conflict": Message(
        "The view {subject} cannot be replaced with the legacy table: {reason}.",
        "{remedy}",
    ),
    "still-used": Message(
        "The downgrade cannot drop {subject}: {reason}.",
        "{remedy}",
    ),
    "swap-not-applicable": Message(
        "There is no table {subject}, so there is nothing to replace with a view.",
        "Nothing to do; a fresh installation does not have it.",
        severity="info",
    ),
    "swap-dependents": Message(
        "Objects that depend on {subject} will follow the table to its new name: {names}.",
        "Nothing to do if they may read the backup; otherwise, re-create them over the view.",
        severity="info",
    ),
    "swap-labels": Message(
        "{subject} has security labels ({count}), which stay with the table under its new name {backup}; the view "
        "has none.",
        "If the view needs them, run after the upgrade: {remedy}",
        severity="warning",
    ),
    "advisory-still-written": Message(
        "{subject} was written to during the audit; after the swap it is read-only, and its writers fail.",
        "Stop whatever writes to {subject} before the upgrade.",
        severity="warning",
    ),
}
