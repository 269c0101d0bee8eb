"""Rows for measuring: made in the server, the same again for the same seed, as wide as real advisories are.

Chains of 1 to 8 revisions (2.6 on average) with ids in no order, stored in the order of retrieval, so that the
revisions of a document are far apart; 5 tenants and 20 vendors of unequal size; documents of 2 to 6 kB, which
PostgreSQL compresses and stores out of line. Rows draw their documents from a pool of 4,096, so that each of
those is compressed once: else that would be most of the time of loading.
"""

from typing import Any

import psycopg

POOL = """
CREATE TEMP TABLE noise AS
SELECT string_agg(substr(md5((hashint8extended(n, {seed}) & 2047)::text), 1, (3 + n % 6)::int), ' ' ORDER BY n)
  AS words FROM generate_series(1, 9000) AS n;
CREATE TEMP TABLE pool AS
SELECT n, jsonb_build_object('format', 'OSV', 'spec_version', '1.6.0', 'raw', jsonb_build_object(
  'id', 'CVE-2025-' || n, 'severity', '[]'::jsonb, 'details',
  substr(words, 1 + (hashint8extended(n, {seed}) & 32767)::int, 2000 + n))) AS content
FROM noise, generate_series(0, 4095) AS n;
ALTER TABLE pool ADD PRIMARY KEY (n);
ANALYZE pool
"""

LOAD = """
WITH documents AS (
  SELECT d, (hashint8extended(d, {seed}) & 1048575) / 1048576.0 AS chance
  FROM generate_series(1, {rows} / 2 + 1) AS d
), revisions AS (
  SELECT d, r, chance, hashint8extended(d * 8 + r, {seed} + 1) & 1048575 AS at FROM documents,
    generate_series(1, CASE WHEN chance < 0.44 THEN 1 WHEN chance < 0.63 THEN 2 WHEN chance < 0.75 THEN 3
      WHEN chance < 0.83 THEN 4 WHEN chance < 0.89 THEN 5 WHEN chance < 0.94 THEN 6 WHEN chance < 0.97 THEN 7
      ELSE 8 END) AS r
), picked AS (
  SELECT *, sqrt(chance) AS skewed, md5('{seed} ' || d) AS name,
    encode(sha256(('{seed} ' || d || ' ' || r)::bytea), 'hex') AS hash,
    timestamptz '2024-10-28' + at * interval '30 seconds' + d % 30 * interval '1 second' AS retrieved
  FROM revisions ORDER BY at, d, r LIMIT {rows}
), named AS (
  SELECT *, 'vendor-' || floor(20 * skewed * skewed * skewed) AS vendor,
    'tenant-' || floor(5 * (1 - skewed)) AS tenant, 'CVE-2025-' || substr(name, 1, 12) AS upstream FROM picked
)
INSERT INTO {table} (id, tenant, source_vendor, upstream_id, content_hash, retrieved_at, source, upstream,
  linkset, content, identifiers, created_at)
SELECT '{table}:' || vendor || ':' || upstream || ':' || substr(hash, 1, 24), tenant, vendor, upstream,
  'sha256:' || hash, retrieved,
  jsonb_build_object('vendor', vendor, 'stream', 'osv', 'api', 'bench', 'collector_version', '1.0.0'),
  jsonb_build_object('upstream_id', upstream, 'document_version', r::text, 'content_hash', 'sha256:' || hash,
    'fetched_at', retrieved, 'signature', jsonb_build_object('present', false)),
  jsonb_build_object('aliases', jsonb_build_array(upstream), 'purls', '[]'::jsonb, 'references', '[]'::jsonb),
  {content},
  jsonb_build_object('cve', upstream, 'aliases', jsonb_build_array(upstream)), retrieved
FROM named
"""


def load(connection: psycopg.Connection[Any], table: str, rows: int, seed: int, *, documents: bool) -> None:
    """Load ``rows`` rows, with their documents or with ``content`` NULL, and let PostgreSQL settle."""
    content = "(SELECT content FROM pool WHERE n = at & 4095)" if documents else "NULL"
    connection.execute("SET synchronous_commit = off")
    connection.execute(POOL.format(seed=seed).encode())
    connection.execute(LOAD.format(table=table, rows=rows, seed=seed, content=content).encode())
    connection.execute("DROP TABLE noise, pool")
    connection.execute(f"VACUUM (ANALYZE, FREEZE) {table}".encode())
    connection.execute("CHECKPOINT")
