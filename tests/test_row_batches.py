"""The batches of `repair`, `dedupe` and --restore keep to a second, whatever a row costs, unless it is one row."""

import psycopg
import pytest

from tests.conftest import Aoc, Database
from tests.helpers import PINNED, counted, dump

GOOD = {"source": {"vendor": "osv"}, "upstream": {"upstream_id": "CVE-1", "content_hash": "sha256:1"}}
SLOW = f"""CREATE FUNCTION slow() {PINNED} $$ BEGIN
  PERFORM pg_catalog.pg_sleep({{seconds}}); RETURN coalesce(NEW, OLD);
END $$;
CREATE TRIGGER slow BEFORE INSERT OR UPDATE OR DELETE ON vex_raw FOR EACH ROW EXECUTE FUNCTION slow()"""
ACCEPT = ("--accept", "move-trigger:slow")
MOST = "SELECT max(rows) FROM (SELECT count(*) AS rows FROM vex_raw_quarantine GROUP BY quarantine_batch) AS b"


def broken(database: Database, aoc: Aoc, rows: int) -> str:
    """Store rows that `repair` repairs, and as many that it moves; return the dump."""
    aoc.configure(database)
    database.run("ALTER TABLE vex_raw ADD supersedes text")
    for n in range(rows):
        database.add(f"m{n}", **GOOD, source_vendor="")
        database.add(f"v{n}", tenant=None, supersedes=f"v{n + 1}")
        database.add(f"w{n}", supersedes=f"v{n}", upstream_id=f"CVE-{n}")
    return dump(database)


def test_a_batch_that_takes_too_long_is_made_smaller(excititor: Database, aoc: Aoc) -> None:
    """PostgreSQL ends a batch after a second, and the next has fewer rows; --restore takes such batches back."""
    before = broken(excititor, aoc, 4)
    excititor.run(SLOW.format(seconds=0.3))

    done = aoc.json("repair", "--rule", "all", "--apply", *ACCEPT, "--batch-rows", "4")

    assert (done.exit_code, done.report["facts"]["repaired"], done.report["facts"]["moved"]) == (0, 4, 4)
    assert excititor.value(MOST) == 2
    excititor.run("UPDATE vex_raw_quarantine SET quarantine_batch = quarantine_run")  # one large batch
    back = aoc.json("repair", "--restore", "--apply", *ACCEPT, "--batch-rows", "4")
    (step,) = back.report["steps"]
    assert (back.exit_code, step["rows"], step["batches"] >= 4) == (0, 8, True), back.err
    assert dump(excititor) == before


def test_one_row_may_take_longer(excititor: Database, aoc: Aoc) -> None:
    """A row that alone takes more than a second is moved all the same, and comes back."""
    before = broken(excititor, aoc, 1)
    excititor.run(SLOW.format(seconds=1.1))

    words = ("--apply", *ACCEPT, "--deadline", "5s", "--batch-rows", "1")
    assert aoc("repair", "--rule", "all", *words).exit_code == 0

    assert excititor.value("SELECT count(*) FROM vex_raw_quarantine") == 2
    assert aoc("repair", "--restore", *words).exit_code == 0
    assert dump(excititor) == before


def test_rows_that_refer_to_each_other_go_back_together(excititor: Database, aoc: Aoc) -> None:
    """With a foreign key from link to id, a batch goes back whole, in whatever order its rows name each other."""
    before = broken(excititor, aoc, 4)
    excititor.run("UPDATE vex_raw SET supersedes = 'v0' WHERE id = 'v3'")  # a cycle
    excititor.run("ALTER TABLE vex_raw ADD FOREIGN KEY (supersedes) REFERENCES vex_raw")
    before = dump(excititor)
    assert aoc("repair", "--rule", "null-key", "--apply").exit_code == 0

    excititor.run(SLOW.format(seconds=0.4))  # in all, more than a second

    restored = aoc.json("repair", "--restore", "--apply", *ACCEPT, "--batch-rows", "1")

    assert (restored.exit_code, restored.report["facts"]["restored"]) == (0, 4), restored.out
    assert "did not fit" not in restored.err
    assert dump(excititor) == before


@pytest.mark.parametrize("size", [1, 3])
def test_a_batch_goes_back_in_parts_of_any_size(size: int, excititor: Database, aoc: Aoc) -> None:
    """A batch that goes back row by row, stopped half way, ends as if it had gone back as a whole."""
    before = broken(excititor, aoc, 5)
    assert aoc("repair", "--rule", "all", "--apply").exit_code == 0
    words = ("repair", "--restore", "--apply", "--batch-rows", str(size))
    with psycopg.connect(excititor.url) as other:
        other.execute("SELECT FROM vex_raw_quarantine WHERE id = 'm3' FOR UPDATE")
        stopped = aoc.json(*words, "--deadline", "1s")

    assert (stopped.exit_code, stopped.slugs("error")) == (3, ["deadline"])
    assert 0 < excititor.value("SELECT count(*) FROM vex_raw_quarantine") < 10
    assert aoc(*words).exit_code == 0
    assert dump(excititor) == before


def read_from(database: Database, table: str) -> int:
    """Return how many entries of the indexes of a table were read."""
    return counted(database, f"SELECT idx_tup_read FROM pg_stat_user_indexes WHERE relname = '{table}'")


def test_an_old_snapshot_does_not_slow_batches_down(excititor: Database, aoc: Aoc) -> None:
    """No batch reads the index entries that earlier batches deleted, though an old snapshot keeps all of them."""
    aoc.configure(excititor)
    excititor.run(
        "INSERT INTO vex_raw (id, source_vendor, upstream_id, content_hash, retrieved_at, source, upstream, "
        "linkset, content) SELECT 'r' || n, 'osv', 'CVE-' || n, n::text, timestamptz '2025-01-01', '{}', '{}', "
        "'{}', '{}' FROM generate_series(10001, 10400) AS n; ANALYZE vex_raw"
    )
    words, size = ("repair", "excititor", "--rule", "null-key", "--apply"), ("--batch-rows", "10")
    with psycopg.connect(excititor.url) as old, psycopg.connect(excititor.url) as other:
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT FROM vex_raw LIMIT 1")
        other.execute("SELECT FROM vex_raw WHERE id = 'r10400' FOR UPDATE")
        assert aoc(*words, *size, "--deadline", "1s").exit_code == 3  # the list stays, with one batch
    listed = read_from(excititor, "aoc_work_list")
    assert aoc(*words).exit_code == 0
    before = read_from(excititor, "vex_raw_quarantine")
    with psycopg.connect(excititor.url) as old:
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT FROM vex_raw_quarantine LIMIT 1")
        for _ in range(2):
            assert aoc("repair", "excititor", "--restore", "--apply", *size).exit_code == 0

    assert 400 <= listed < 3000
    assert 400 <= read_from(excititor, "vex_raw_quarantine") - before < 3000
    assert excititor.value("SELECT count(*) FROM vex_raw") == 400
