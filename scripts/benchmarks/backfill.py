"""0006 compared with one UPDATE: speed, WAL, and the size of table and indexes afterwards."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg

from aoc_migrate.database.bookkeeping import JOURNAL
from scripts.benchmarks.lab import TABLE, Lab, step, value, wal
from scripts.benchmarks.results import Ratio, seconds

ORDERED = """lag(id) OVER (
  PARTITION BY tenant, source_vendor, upstream_id ORDER BY retrieved_at, id COLLATE "C") AS before"""
SET_BASED = f"""UPDATE {TABLE} AS t SET supersedes = l.before FROM (SELECT id, {ORDERED}
  FROM {TABLE}) AS l WHERE t.id = l.id AND l.before IS NOT NULL"""
JOURNALED = f"""WITH written AS ({SET_BASED} RETURNING t.id, NULL::text AS old, t.supersedes AS new)
  INSERT INTO bench_journal SELECT * FROM written"""
WRONG = f"""SELECT count(*) FROM (SELECT supersedes, {ORDERED} FROM {TABLE}) AS l
  WHERE supersedes IS DISTINCT FROM before"""
# The first read of new rows marks them as committed, which is written to the WAL. Ours ends with such a read.
READ = f"SELECT count(*) FROM {TABLE} WHERE supersedes IS NOT NULL"
KEPT = f"SELECT pg_total_relation_size(to_regclass('{JOURNAL}'))"
INDEXES = f"SELECT sum(pg_relation_size(indexrelid)) FROM pg_index WHERE indrelid = '{TABLE}'::regclass"


@dataclass
class Outcome:
    """The cost of a backfill: seconds, rows, bytes of WAL, share of HOT updates, growth as a factor.

    ``kept`` is the growth of the table with the journal.
    """

    seconds: float
    rows: int
    wal: int
    hot: float
    heap: float
    kept: float
    indexes: float

    @property
    def speed(self) -> float:
        """Rows written in a second."""
        return self.rows / self.seconds


def measure(lab: Lab) -> Iterator[Ratio]:
    """Run each way in turn on clones of one database; the fastest of three runs counts."""
    template = lab.light()
    ways = (set_based, same_work, ours(), ours("--pace", "50%"))
    rounds = [[run(lab, template, way) for way in ways] for _ in range(3)]
    bare, whole, batched, paced = (min(column, key=lambda o: o.seconds) for column in zip(*rounds, strict=True))
    same, update = "one UPDATE with a journal and a last scan", "one UPDATE"
    yield Ratio("backfill", same, batched.speed, whole.speed, "rows/s", 1.5, least=True)
    yield Ratio("backfill at half pace", same, paced.speed, whole.speed, "rows/s", 0.75, least=True)
    yield Ratio("backfill, against less work", update, batched.speed, bare.speed, "rows/s", None)
    yield Ratio("HOT updates", "all", batched.hot * 100, 100, "%", 0.8, counted=True, least=True)
    yield Ratio("size of the table", "before", batched.heap * 100, 100, "%", 1.15, counted=True)
    yield Ratio("size of the table and the journal", "before", batched.kept * 100, 100, "%", 1.15, counted=True)
    yield Ratio("size of its indexes", "before", batched.indexes * 100, 100, "%", 1.02, counted=True)
    yield Ratio("WAL", update, batched.wal, bare.wal, "bytes", 0.6, counted=True)
    method = compression(lab)
    less = run(lab, template, set_based, method)
    ours_less = run(lab, template, ours(), method)
    yield Ratio(f"WAL with {method}", f"{update}, {method}", ours_less.wal, less.wal, "bytes", 0.5, counted=True)


def beyond(lab: Lab, rows: int) -> Ratio:
    """Compare the WAL on a table so large that hardly a page is written twice between two checkpoints."""
    lab.drop("light")
    lab.rows = rows
    template = lab.light()
    whole, batched = run(lab, template, set_based), run(lab, template, ours())
    return Ratio(f"WAL with {rows:,} rows", "one UPDATE", batched.wal, whole.wal, "bytes", 1, counted=True)


def compression(lab: Lab) -> str:
    """Return the best ``wal_compression`` method of this server."""
    with lab.connect("postgres") as connection:
        known = value(connection, "SELECT enumvals FROM pg_settings WHERE name = 'wal_compression'")
    return next(method for method in ("lz4", "zstd", "pglz") if method in known)


def run(
    lab: Lab,
    template: str,
    action: Callable[[Lab, str], float],
    compress: str = "",
    before: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Run one way on a clone, after what is to be done ``before``; return its cost."""
    name = lab.clone(template, "backfill")
    before(name)
    with lab.connect(name) as connection:
        if compress:
            connection.execute(f"ALTER DATABASE {name} SET wal_compression = '{compress}'".encode())
        first = measured(connection)
        took: list[float] = []

        def act() -> None:
            took.append(action(lab, name))
            connection.execute(READ.encode())

        written = wal(connection, act)
        after = measured(connection)
        tried = after["updates"] - first["updates"]
        outcome = Outcome(
            seconds=took[0],
            rows=int(value(connection, f"SELECT count(supersedes) FROM {TABLE}")),
            wal=written,
            hot=(after["hot"] - first["hot"]) / tried,
            heap=after["heap"] / first["heap"],
            kept=(after["heap"] + after["journal"]) / first["heap"],
            indexes=after["indexes"] / first["indexes"],
        )
    lab.drop(name)
    return outcome


def measured(connection: psycopg.Connection[object]) -> dict[str, float]:
    """Return sizes and counters of the table."""
    counters = f"FROM pg_stat_user_tables WHERE relname = '{TABLE}'"
    return {
        "heap": float(value(connection, f"SELECT pg_relation_size('{TABLE}')")),
        "indexes": float(value(connection, INDEXES)),
        "journal": float(value(connection, KEPT) or 0),
        "updates": float(value(connection, f"SELECT n_tup_upd {counters}")),
        "hot": float(value(connection, f"SELECT n_tup_hot_upd {counters}")),
    }


def set_based(lab: Lab, name: str) -> float:
    """Link every row in one statement."""
    with lab.connect(name) as connection:
        connection.execute("SET work_mem = '256MB'")
        return seconds(lambda: connection.execute(SET_BASED.encode()))


def same_work(lab: Lab, name: str) -> float:
    """Link every row in one statement that keeps a journal, and look for wrong links afterwards, as we do."""
    with lab.connect(name) as connection:
        connection.execute("SET work_mem = '256MB'")
        connection.execute("CREATE TABLE bench_journal (id text, old text, new text)")

        def work() -> None:
            connection.execute(JOURNALED.encode())
            assert value(connection, WRONG) == 0

        return seconds(work)


def ours(*options: str) -> Callable[[Lab, str], float]:
    """Return our backfill; its time is that of the step, without audit and verify."""

    def action(lab: Lab, name: str) -> float:
        report = lab.aoc(name, "upgrade", "concelier", "concelier_0006", *options)
        return float(step(report, "link rows")["total_ms"]) / 1000

    return action
