"""What the rows of the page mean, and why a bound is missed."""

WHY = {
    "`upgrade` with nothing to do": "more than half of its time is the import of psycopg, which `alembic current` "
    "needs too",
    "`wait` at head": "likewise",
    "`upgrade` with nothing to do, against dbmate": "dbmate is compiled; ours starts Python, and most of "
    "its time is the import of psycopg",
    "duplicate audit": "with a million keys, hashing and grouping them takes twice as long as reading them, which "
    "is all that the scan does",
    "duplicate audit with an index": "one process reads the index and compares keys, while several read the table",
    "chain check": "with 500,000 rows it held, with 0.57",
    "size of the table and the journal": "the links are most of what the table grows by, and the journal keeps "
    "two ids for each",
}
"""Why a bound is missed, by the names of rows."""

MEANING = {
    "`--help`": "the time of a whole process, the best of twenty, against a program that only imports click",
    "`upgrade` with nothing to do, against dbmate": "the same process against a single compiled program",
    "`upgrade` with nothing to do": "a whole process on a database where nothing is pending, as at each start of "
    "a pod; stock Alembic only prints the revision",
    "`wait` at head": "the same for a pod that only waits until somebody else has upgraded",
    "scans of": "how often the server read the table from one end to the other while the revision ran",
    "CPU of the proof": "the proof is VALIDATE CONSTRAINT, which calls the functions of the rules for every row. "
    "It is compared with a scan by one process that reads the same values: the type of every small JSON column, "
    "empty keys, whether the time is finite; for 0007 the type of the document, which has to be fetched and "
    "decompressed. The CPU time of the backend is the median of shuffled rounds",
    "CPU of an INSERT": "each row is stored with one prepared INSERT, as a service stores a document; a hundred "
    "rows share a transaction. Both tables have the same three indexes, the chain index included; one has all "
    "CHECKs, which call functions, and NOT NULLs. PostgreSQL parses a stored CHECK again for every statement: "
    "INSERT shows that cost, COPY hides it. Without a document there is less to store, so the same addition is a "
    "larger share. The same table again shows how exact the measurement is",
    "CPU of COPY": "the same rows, a thousand at a time, which shows what the rules cost per row of a running "
    "statement",
    "CPU of a session's first INSERT": "a new session loads the catalog, and PL/pgSQL compiles each function once",
    "CPU of an UPDATE": "one statement sets the link of a thousand rows, and each row's CHECKs run again. "
    "The CHECK on content decompresses the document, so it is added after the backfill",
    "duplicate audit with an index": "the same with an index on the key that is not unique, which the audit may "
    "read in place of the table",
    "duplicate audit": "all groups of rows that share a key are counted, where there are none. GROUP BY answers "
    "the same question; a scan of the key columns only reads them, and groups nothing",
    "all row rules of the audit": "every rule about single rows, on rows that keep them all, against a scan that "
    "reads the same columns and every document, and looks for no forbidden key",
    "chain check, with facts and findings, one link broken": "`verify`'s check of every link where one is wrong, "
    "which it has to find, to classify and to show; against the same where none is",
    "chain check, with facts": "the same with what `verify` reports: the number of documents, the depths of their "
    "chains, and a sample",
    "chain check": "every row's link is compared with the id of the row before it in its chain. One window query "
    "asks the same. A scan and a sort of the same columns is no floor: we group by a hash of the key, which sorts "
    "faster than the columns themselves",
    "backfill beyond memory": "the server's memory, with the file cache that it fills, is limited to a third of "
    "the table with its indexes (a control group of Linux), and every file left the cache before. There the "
    "backfill writes in the order of pages; a larger `effective_cache_size` keeps the order of keys",
    "pages read a link, beyond memory": "pages of the table and its indexes that were not in shared_buffers, for "
    "each link, in the same two runs",
    "HOT updates beyond memory": "the share of updates in place, in the run in the order of pages",
    "WAL beyond memory": "the WAL of the same two runs, with max_wal_size a sixth of the table: the more often a "
    "page is met again after a checkpoint, the more whole pages are written",
    "backfill at half pace": "the backfill with `--pace 50%`, which sleeps as long as it works",
    "backfill, against less work": "the same against the UPDATE alone, which nothing can undo, and nothing checks",
    "backfill": "rows linked in a second, with the journal and the last scan. The other side does the same work: "
    "one UPDATE by a window query, which stores each link in a table as well, and a query that finds no wrong "
    "link. The rows have no documents, which both would leave alone",
    "HOT updates": "the share of updates whose new row version stays on its page, so that no index is written. "
    "One UPDATE has none",
    "size of the table and the journal": "the same with the table from which a downgrade restores the old links",
    "size of the table": "the size afterwards in percent of the size before; only rows with a link are written "
    "again",
    "size of its indexes": "the same for the indexes: a HOT update leaves them as they are",
    "WAL": "what the server writes for replication and recovery during the backfill. Shortly after a checkpoint, "
    "most of it is whole pages, which `wal_compression` makes smaller",
    "`upgrade`, audit and verify included": "the whole run on a table that has never been migrated, against one "
    "revision without audit, verify, journal and concurrency. Its CHECKs are written out, not functions. With the "
    "CHECK on content before its UPDATE, the UPDATE reads every document; after it, it need not",
    "constraints and key": "psql runs our own scripts, under the names that the guide gives",
}
"""What rows of the table mean, by the beginning of their names; the first that fits counts."""


def meaning(what: str) -> str | None:
    """Return the beginning of the names that share the meaning of a row, if it has one."""
    return next((name for name in MEANING if what.startswith(name)), None)
