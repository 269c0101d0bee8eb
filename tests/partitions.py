"""A raw table that is partitioned: by tenant, one partition of two levels, one of every kind of name."""

from typing import Any

import psycopg

LONG = "raw_b_" + "x" * 57
PARTS = """
ALTER TABLE {t} RENAME TO flat;
ALTER TABLE flat DROP CONSTRAINT {t}_pkey;
CREATE TABLE {t} (LIKE flat INCLUDING DEFAULTS, PRIMARY KEY (id, tenant, content_hash)) PARTITION BY LIST (tenant);
DROP TABLE flat;
CREATE TABLE {t}_a PARTITION OF {t} FOR VALUES IN ('a');
CREATE TABLE "Raw b" PARTITION OF {t} FOR VALUES IN ('b') PARTITION BY HASH (content_hash);
CREATE SCHEMA IF NOT EXISTS cold;
CREATE TABLE cold.{t}_b PARTITION OF "Raw b" FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE {long} PARTITION OF "Raw b" FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE {t}_empty PARTITION OF {t} FOR VALUES IN ('e') PARTITION BY LIST (content_hash);
CREATE TABLE {t}_rest PARTITION OF {t} DEFAULT;
"""
LOOSE = """
ALTER TABLE vex_raw RENAME TO flat;
ALTER TABLE flat DROP CONSTRAINT vex_raw_pkey;
CREATE TABLE vex_raw (LIKE flat INCLUDING DEFAULTS) PARTITION BY LIST (tenant);
DROP TABLE flat;
ALTER TABLE vex_raw ALTER id SET NOT NULL;
CREATE UNIQUE INDEX id_key ON vex_raw ({key});
"""


def partition(connection: psycopg.Connection[Any], table: str) -> None:
    """Replace an empty raw table with a partitioned one."""
    connection.execute(PARTS.format(t=table, long=LONG).encode())


def pairs(connection: psycopg.Connection[Any], index: str) -> dict[str, str | None]:
    """Return each partition of the table of ``index``, of every level, and what of it hangs on that index."""
    rows = connection.execute(
        "SELECT t.relid::regclass::text, (SELECT x.relid::regclass::text FROM pg_partition_tree(%s) x "
        "JOIN pg_index i ON i.indexrelid = x.relid AND i.indisvalid AND i.indrelid = t.relid) "
        "FROM pg_index top, pg_partition_tree(top.indrelid) t "
        "WHERE top.indexrelid = to_regclass(%s) AND t.level > 0",
        [index, index],
    )
    return dict(rows.fetchall())


def loosen(connection: psycopg.Connection[Any], parts: str, key: str = "id, tenant") -> None:
    """Replace an empty vex_raw with one that only requires an id, and is partitioned as ``parts`` says."""
    connection.execute(f"{LOOSE.format(key=key)}{parts}".encode())
