"""Rows for measuring: made in the server, the same for the same seed, as wide as real advisories.

Chains of 1 to 8 revisions (2.6 on average) with ids in no order, stored in the order of retrieval, so that the
revisions of a document are far apart; 5 tenants and 20 vendors of unequal size. Rows draw their documents from a
pool of 4,096, so that each document is compressed once: otherwise compression would dominate the loading.

The documents are invented: prose of 400 made-up words in the structure of OSV, stored as real ones are,
compressed with pglz, out of line. Measured on PostgreSQL 18.6, bytes as text, bytes stored
(``pg_column_size``) and their ratio, each at the median:

- 1,991 of 4,241 real advisories in a raw table, those compressed and out of line: 2,918, 1,618, 0.60 (all bytes
  together 0.41). Of real ones of 3 to 6 kB the ratio is 0.48. The rest are smaller, and stay in the row or
  uncompressed.
- These: 3,113, 1,636, 0.53 (all bytes together 0.50); nine of ten have 2.4 to 6.2 kB.
"""

from typing import Any

import psycopg

POOL = """
CREATE TEMP TABLE pool AS
WITH words AS MATERIALIZED (
  SELECT n, CASE WHEN n < 24 THEN short[1 + n / 2]
    ELSE parts[1 + (h & 31)::int] || parts[1 + (h >> 5 & 31)::int] || CASE WHEN h & 3072 = 0 THEN 'ing' ELSE '' END
    END AS word
  FROM (SELECT n, hashint8extended(n, {seed}) & 1048575 AS h,
    string_to_array('a of in to an by on or as it is if', ' ') AS short, string_to_array('al ber cor den est fal '
    'ger hin ist jo kar lem mon nor ol per quin ran sil tor und ven wil yar ab ster plo cra men lo ti ra', ' ')
    AS parts
    FROM generate_series(0, 399) AS n) AS hashed
), prose AS MATERIALIZED (
  SELECT string_agg(word, CASE WHEN i % 17 = 0 THEN '. ' ELSE ' ' END ORDER BY i) AS words FROM words JOIN (
    SELECT i, floor(400 * ((hashint8extended(i, {seed} + 2) & 1048575) / 1048576.0) ^ 2)::int AS n
    FROM generate_series(1, 9000) AS i) AS drawn USING (n)
)
SELECT n, jsonb_build_object('format', 'OSV', 'spec_version', '1.6.0', 'raw', jsonb_build_object(
  'id', 'CVE-2025-' || n, 'schema_version', '1.6.0', 'published', timestamptz '2024-10-28' + n * interval '1 hour',
  'modified', timestamptz '2024-11-28' + n * interval '1 hour', 'aliases', jsonb_build_array('GHSA-' || n),
  'summary', substr(words, at, 70), 'details', substr(words, at + 99, 800 + (1500 * (n / 4096.0) ^ 4)::int),
  'affected', (SELECT jsonb_agg(jsonb_build_object(
    'package', jsonb_build_object('name', name, 'ecosystem', 'Bench', 'purl', 'pkg:bench/' || name || '-' || p),
    'ranges', jsonb_build_array(jsonb_build_object('type', 'SEMVER', 'events', jsonb_build_array(
      jsonb_build_object('introduced', '0'), jsonb_build_object('fixed', n % 9 || '.' || n % 40 || '.' || p)))),
    'versions', (SELECT jsonb_agg(n % 9 || '.' || v || '.' || p) FROM generate_series(1, 6 + n % 31) AS v)))
    FROM generate_series(1, 2 + n % 5 / 2 + n % 41 / 36 * 7) AS p),
  'references', (SELECT jsonb_agg(jsonb_build_object('type', CASE r % 3 WHEN 0 THEN 'FIX' ELSE 'WEB' END, 'url',
    'https://' || name || '.example/' || substr(md5((n * 16 + r)::text), 1, 12))) FROM
    generate_series(1, 5 + n % 6) AS r))) AS content
FROM prose, (SELECT n, 1 + (hashint8extended(n, {seed}) & 32767)::int AS at
    FROM generate_series(0, 4095) AS n) AS d,
  LATERAL (SELECT replace(substr(words, at + 5000, 16), ' ', '-') AS name) AS named;
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
    """Load ``rows`` rows, with their documents or with ``content`` NULL; then vacuum and checkpoint."""
    content = "(SELECT content FROM pool WHERE n = at & 4095)" if documents else "NULL"
    connection.execute("SET synchronous_commit = off")
    connection.execute(POOL.format(seed=seed).encode())
    connection.execute(LOAD.format(table=table, rows=rows, seed=seed, content=content).encode())
    connection.execute("DROP TABLE pool")
    connection.execute(f"VACUUM (ANALYZE, FREEZE) {table}".encode())
    connection.execute("CHECKPOINT")
