"""What is broken: a command of a target, on a raw table before the contract or on the way through it."""

from dataclasses import dataclass
from typing import Any

import psycopg

from aoc_migrate.revisions.graph import history
from aoc_migrate.sandbox.databases import RAW_TABLES, create_legacy_advisory, create_raw_table
from tests.postgres_versions import NOT_VALID, has

ROWS = 250  # three batches of the backfill
BATCHES = ("--batch-rows", "100")  # always of the same size, so that every run has the same boundaries
_PARTS = """
ALTER TABLE {t} RENAME TO flat;
ALTER TABLE flat DROP CONSTRAINT {t}_pkey;
CREATE TABLE {t} (LIKE flat INCLUDING DEFAULTS, PRIMARY KEY (id, tenant, content_hash)) PARTITION BY LIST (tenant);
DROP TABLE flat;
CREATE TABLE {t}_below PARTITION OF {t} FOR VALUES IN ('default') PARTITION BY LIST (content_hash);
CREATE TABLE {t}_all PARTITION OF {t}_below DEFAULT;
CREATE TABLE {t}_careful PARTITION OF {t} DEFAULT;
ALTER TABLE {t}_careful ALTER source SET NOT NULL, ALTER tenant SET NOT NULL, ALTER source_vendor SET NOT NULL,
  ALTER upstream_id SET NOT NULL, ALTER content_hash SET NOT NULL;
CREATE UNIQUE INDEX own ON {t}_careful (tenant, source_vendor, upstream_id, content_hash);
ALTER TABLE {t}_careful REPLICA IDENTITY USING INDEX own;
ALTER TABLE {t}_careful CLUSTER ON own;
COMMENT ON INDEX own IS 'theirs';
"""
WRONG_LINKS = "CASE WHEN n % 7 = 0 THEN 'r' || n - 3 END"


@dataclass(frozen=True)
class Scenario:
    """A command of a target, and the commands that come before it; ``parted``: its raw table is partitioned."""

    target: str
    before: tuple[str, ...]
    command: str
    rows: int = ROWS
    parted: bool = False

    def __str__(self) -> str:
        parted = " in partitions" if self.parted else ""
        return f"{self.command} of {self.target}{parted}{' after ' if self.before else ''}{', '.join(self.before)}"

    @property
    def words(self) -> list[str]:
        """The command as it is typed."""
        verb, *revision = self.command.split()
        return [verb, self.target, *revision, *(BATCHES if self.rows == ROWS else ())]


def scenarios(target: str) -> list[Scenario]:
    """Return what is broken of a target: all of upgrade, all of downgrade, and each single step down."""
    ids = [revision.id for revision in history(target)]
    steps = [Scenario(target, (f"upgrade {id_}",), "downgrade -1") for id_ in reversed(ids)]
    down = Scenario(target, ("upgrade head",), "downgrade base")
    return [Scenario(target, (), "upgrade head"), down, *steps]


def fill(connection: psycopg.Connection[Any], table: str, rows: int, *, parted: bool = False) -> None:
    """Make a raw table with chains of five revisions, some links of which are wrong, and what belongs to it."""
    create_raw_table(connection, table)
    if parted:
        connection.execute(_PARTS.format(t=table).encode())
    connection.execute(f"ALTER TABLE {table} ADD supersedes text, ALTER tenant SET NOT NULL")
    connection.execute(
        f"INSERT INTO {table} (id, tenant, source_vendor, upstream_id, content_hash, retrieved_at, source, "
        "upstream, linkset, content, created_at, supersedes) SELECT 'r' || n, 'default', 'osv', "
        "'CVE-' || n / 5, 'sha256:' || n, timestamptz '2025-01-01' + n * interval '1 second', '{}', '{}', '{}', "
        f"'{{\"raw\": {{}}}}', '2025-01-01', {WRONG_LINKS} FROM generate_series(1, {rows}) AS n"
    )
    if has(connection, NOT_VALID):
        connection.execute(f"ALTER TABLE {table} ADD CONSTRAINT theirs NOT NULL linkset NOT VALID".encode())
    if table == RAW_TABLES["concelier"]:
        create_legacy_advisory(connection)
