"""The backfill of a table that is larger than the cache: in the order of its pages, as far as that pays.

In key order each row comes from a page of its own, and a page is read once for each of its rows. Here the wrong
links are staged first, in the order in which they are written (`reference/limits.md` 11.4):

1. One row of each page, in key order. Its new version has to leave the full page, so it needs new index entries:
   in key order these are neighbours.
2. The other rows, window by window of `WINDOW` pages: the second row of each page, then the third, and so on. Each
   takes the room that the one before it left, and stays on its page (HOT), so it needs no index entry. PostgreSQL
   frees that room when a scan visits the page, but not when a row is looked up by ctid: so each batch reads its
   pages first.

The staging table is temporary: nobody else sees it, and it is gone with the session. A run that was interrupted
stages again what is still wrong.
"""

from collections.abc import Iterator

from aoc_migrate.contract.model import Contract
from aoc_migrate.database.batches import Batches, index_plans_only
from aoc_migrate.database.relation import Relation, Schema
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.spread.partitions import FAMILY
from aoc_migrate.database.spread.shape import spread_of
from aoc_migrate.database.table_scan import scanning
from aoc_migrate.operations.supersedes.statements import MOST, count_links, write, wrong_links
from aoc_migrate.report.facts.full_reads import BACKFILL

STAGED = "pg_temp.aoc_staged_links"
STAGING_ROOM = 5  # times the staging table: it, and the files of the sorts that fill it
WINDOW = 2000  # pages, which stay in the cache until all of their rows are written


def stage(contract: Contract, table: Relation) -> str:
    """Return the statement that stages the wrong links.

    ``n`` numbers the rows in the order in which they are written. Those of one ``visit`` are on different pages;
    ``again``: these pages had another row written before. ``part`` is the table that holds the row, at ``place``.
    """
    visit = f"part, rank > 1, CASE WHEN rank > 1 THEN block / {WINDOW} END, rank"
    key = ", ".join(f"CASE WHEN rank = 1 THEN {column} END" for column in contract.chain_key)
    wrong = wrong_links(contract, table, identity=("id", "tableoid", "ctid", *contract.chain_key))
    return f"""CREATE TEMP TABLE aoc_staged_links AS
SELECT row_number() OVER (ORDER BY {visit}, {key}, place) AS n, dense_rank() OVER (ORDER BY {visit}) AS visit,
  rank > 1 AS again, part, place, id, old, expected
FROM (SELECT *, row_number() OVER (PARTITION BY part, block ORDER BY place) AS rank FROM (
  SELECT *, tableoid AS part, ctid AS place, (ctid::text::point)[0]::bigint AS block FROM ({wrong}) AS wrong
) AS placed) AS ranked"""


FACTOR = 1.0
"""The size of table and indexes from which this order is the faster one, in units of ``effective_cache_size``.

Where they equal the memory, both orders took the same time; `scripts/bench --beyond-memory` compares them at three
times as much.
"""

_EXCEEDS = f"""SELECT sum(pg_relation_size(oid) + pg_indexes_size(oid)) + %s
    > {FACTOR} * pg_size_bytes(current_setting('effective_cache_size'))
  AND bool_and(relkind IN ('r', 'p') AND has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'UPDATE'))
  AND count(DISTINCT relowner) = 1
  AND has_database_privilege(current_database(), 'TEMPORARY') AND current_setting('temp_file_limit') = '-1'
FROM pg_class JOIN {FAMILY} AS family USING (oid)"""


def exceeds_cache(session: Session, contract: Contract, new_indexes: int = 0) -> bool:
    """Return whether a table with its indexes is so large that the order of its pages is the faster one.

    ``new_indexes``: the bytes of indexes that are still to be built. False as well where this role may not write
    to a partition directly or create a temporary table, where a partition has another owner, whose policies would
    hold for us there, and where temporary files are limited.
    """
    if spread_of(session, contract.table).placement:
        return False
    return bool(session.value(_EXCEEDS, (new_indexes, str(session.schema[contract.table]))))


def staged_bytes(links: int, id_bytes: float) -> int:
    """Return the size of the staging table and its index: two ids a link, and about 80 bytes."""
    return round(links * (80 + 2 * id_bytes))


PARTS = f"""SELECT part::regclass::text AS name, min(n) - 1 AS before, max(n) AS last, count(*) AS links
FROM {STAGED} GROUP BY part ORDER BY before"""
"""The tables whose rows are staged, each with the place before its first row and that of its last."""


def batch(contract: Contract, schema: Schema, name: str, part: str) -> str:
    """Return one batch of ``part``, quoted: rows of one visit after ``place``, up to ``last``, at most ``size``.

    It returns (seen, written, place), where ``place`` is that of the last row; none is seen at the end.
    """
    only = f"ONLY {part.replace('%', '%%')}"  # psycopg takes a single % for a placeholder
    same = "(SELECT rows FROM freed) IS NOT NULL AND t.ctid = w.place AND t.id = w.id"
    pages = "SELECT {}(place) FROM wrong WHERE again"
    return f"""WITH page AS MATERIALIZED (
  SELECT *, first_value(visit) OVER (ORDER BY n) AS first FROM (SELECT * FROM (SELECT * FROM {STAGED}
    WHERE n > %(place)s AND n <= %(last)s ORDER BY n LIMIT {MOST}) AS most LIMIT %(size)s) AS ahead
), wrong AS MATERIALIZED (
  SELECT * FROM page WHERE visit = first
), freed AS MATERIALIZED (
  SELECT count(*) AS rows FROM {only}
  WHERE ctid >= ({pages.format("min")}) AND ctid <= ({pages.format("max")})
), {write(contract, schema, same, only)}, counted AS (
  {count_links(schema, name, "SELECT count(*) FROM written")}
)
SELECT count(*) AS seen, max(n) AS place, (SELECT count(*) FROM written) AS written FROM wrong"""


def walk_staged(running: Batches, contract: Contract, name: str) -> None:
    """Stage the wrong links and write them."""
    session = running.session
    words = "the table is larger than effective_cache_size, so it is written in the order of its pages"
    session.say(f"{running.label}: {words}")
    session.run(f"DROP TABLE IF EXISTS {STAGED}")
    with scanning(session, "staging wrong links", whole=BACKFILL):
        session.run(stage(contract, session.schema[contract.table]))
        session.run(f"CREATE INDEX ON {STAGED} (n)")
    parts = session.rows(PARTS)
    running.progress.approximate = False
    running.progress.count("links", sum(part["links"] for part in parts))
    with index_plans_only(session):
        for part in parts:
            for row in _batches(running, batch(contract, session.schema, name, part["name"]), part):
                running.progress.add(row["seen"])
    session.run(f"DROP TABLE {STAGED}")


def _batches(running: Batches, statement: str, part: Row) -> Iterator[Row]:
    place = part["before"]
    while place < part["last"]:
        row = running.run(statement, lambda size: {"size": size, "place": place, "last": part["last"]})  # noqa: B023
        place = row["place"]
        yield row
