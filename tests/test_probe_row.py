"""The probe's row: invented, with nothing from a document in it, and nothing of it in the server's log."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Aoc, Database
from tests.copies import made_once
from tests.helpers import PINNED, wait_until
from tests.logged import logged
from tests.partitions import partition
from tests.planting import BODY, plant, planter, ran

MARK = "a-secret-of-ours"
LONG = f"{MARK} {'x' * 80}"
DOCUMENTS: dict[str, Any] = {
    column: {"vendor": MARK} for column in ("source", "upstream", "linkset", "content", "identifiers")
}


@pytest.fixture
def excititor_at_head(request: pytest.FixtureRequest, excititor: Database, aoc: Aoc) -> Database:
    """The raw table at head, with a row."""
    aoc.configure(excititor)
    made_once(request, excititor, lambda: aoc("upgrade"))
    excititor.add("1", **DOCUMENTS)
    return excititor


@pytest.fixture
def logged_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, Path]]:
    """A database on a server of its own that logs each error with its statement, and the log."""
    settings = {
        "log_min_messages": "warning",
        "log_error_verbosity": "verbose",
        "log_min_error_statement": "error",
    }
    with logged(tmp_path_factory.mktemp("s"), **settings) as found:
        yield found


def probed(aoc: Aoc) -> tuple[bool, list[str]]:
    """Return whether bad rows could be tried, and what the probe found."""
    ended = aoc.json("verify", "--probe")
    return ended.report["facts"]["probed"], [slug for slug in ended.slugs() if slug.startswith("probe")]


def test_the_servers_log_holds_no_row(logged_database: tuple[Database, Path], aoc: Aoc) -> None:
    """An upgrade and a probe leave no error in the server's log, and nothing of a row."""
    database, log = logged_database
    aoc.configure(database)
    database.run("ALTER TABLE vex_raw ADD note text")
    for n in range(3):
        database.add(f"{n}", **DOCUMENTS, note=LONG, retrieved_at=f"2025-01-0{n + 1}T00:00:00Z")

    upgraded = aoc("upgrade", AOC_ALLOW_SUPERSEDES_RETROFIT="true")

    assert (upgraded.exit_code, probed(aoc)) == (0, (True, []))
    database.run("DO $$ BEGIN RAISE WARNING 'it is logged'; END $$")
    text = log.read_text(encoding="utf-8")
    assert "it is logged" in text
    assert [line for line in text.splitlines() if "ERROR" in line or MARK in line] == []


def test_the_probe_copies_no_document(excititor_at_head: Database, aoc: Aoc) -> None:
    """No row that the probe tries holds anything of a document or of a long value of another column."""
    excititor_at_head.run(f"ALTER TABLE vex_raw ADD note text; UPDATE vex_raw SET note = '{LONG}'")
    excititor_at_head.run(
        f"CREATE FUNCTION looking() {PINNED} 'BEGIN IF position(''{MARK}'' IN to_jsonb(NEW)::text) > 0 "
        "THEN RAISE ''copied''; END IF; RETURN NEW; END'; "
        "CREATE TRIGGER looking BEFORE INSERT ON vex_raw FOR EACH ROW EXECUTE FUNCTION looking()"
    )

    assert probed(aoc) == (True, [])


POSSIBLE = {
    "a short column that must be there": "ADD kind text NOT NULL DEFAULT 'a'",
    "one with a CHECK": "ADD kind text NOT NULL DEFAULT 'a' CHECK (kind IN ('a', 'b'))",
    "a long one that may be NULL": f"ADD kind text DEFAULT '{LONG}'",
    "a compressed one that may be NULL": "ADD kind text DEFAULT repeat('x', 100000)",
    "an identity column": "ADD n bigint GENERATED ALWAYS AS IDENTITY",
    "a generated column": "ADD n int GENERATED ALWAYS AS (length(id)) STORED NOT NULL",
    "an array": "ADD kind text[] NOT NULL DEFAULT ARRAY['a', 'b']",
    "names": 'ADD aoc_stored int NOT NULL DEFAULT 1, ADD "a ""$aoc$; %s {0} \'x" text NOT NULL DEFAULT \'y\'',
    "a CHECK of others on a key": "ADD CONSTRAINT zz CHECK (tenant = 'default' AND upstream_id <> 'aoc-probe')",
    "varchar": "ALTER id TYPE varchar(16), ALTER tenant TYPE varchar(12), ALTER content_hash TYPE varchar(71)",
    "created_at without a default": "ALTER created_at DROP DEFAULT, ALTER created_at SET NOT NULL",
}


@pytest.mark.alike
@pytest.mark.parametrize("case", POSSIBLE)
def test_other_columns_do_not_stop_the_probe(case: str, excititor: Database, aoc: Aoc) -> None:
    """Columns that the contract does not know, and narrow types of its own, do not stop the probe."""
    excititor.add("1", **DOCUMENTS)
    excititor.run(f"ALTER TABLE vex_raw {POSSIBLE[case]}")
    aoc.configure(excititor)

    assert aoc("upgrade").exit_code == 0
    assert probed(aoc) == (True, [])


def test_domains_do_not_stop_the_probe(excititor: Database, aoc: Aoc) -> None:
    """Foreign domains on columns of the contract do not stop a good row."""
    excititor.add("1", **DOCUMENTS)
    excititor.run(
        "CREATE DOMAIN hash AS text NOT NULL CHECK (VALUE ~ '^sha256:[0-9a-f]{64}$'); "
        "CREATE DOMAIN cve AS varchar(20) CHECK (VALUE LIKE 'CVE-%'); CREATE DOMAIN object AS jsonb; "
        "ALTER TABLE vex_raw ALTER content_hash TYPE hash, ALTER upstream_id TYPE cve, ALTER content TYPE object"
    )
    aoc.configure(excititor)

    assert probed(aoc) == (True, [])


def test_the_probe_says_when_every_row_is_long(excititor_at_head: Database, aoc: Aoc) -> None:
    """Where every row is long in a column that must be there, the probe says that, and copies nothing."""
    excititor_at_head.run(f"ALTER TABLE vex_raw ADD kind text NOT NULL DEFAULT '{LONG}'")

    ended = aoc.json("verify", "--probe")

    assert (ended.exit_code, ended.report["facts"]["probed"]) == (0, False)
    assert "kind" in ended.finding("probe-not-possible")["problem"]
    assert "64 bytes" in ended.finding("probe-not-possible")["problem"]
    assert MARK not in ended.out


def test_a_short_row_is_found_among_long_ones(excititor_at_head: Database, aoc: Aoc) -> None:
    """A row that is short where it must be is found among others that are not."""
    excititor_at_head.run(f"ALTER TABLE vex_raw ADD kind text NOT NULL DEFAULT '{LONG}'")
    for n in range(2, 6):
        excititor_at_head.add(f"{n}", kind=LONG)
    excititor_at_head.add("6", kind="é" * 32)

    assert probed(aoc) == (True, [])


def test_the_probe_runs_no_foreign_cast(excititor_at_head: Database, aoc: Aoc) -> None:
    """To measure a column, the probe does not use a cast that somebody made for its type."""
    with planter(excititor_at_head) as role:
        excititor_at_head.run(
            "CREATE TYPE kind AS (k text); ALTER TABLE vex_raw ADD z kind; UPDATE vex_raw SET z = ROW('k')"
        )
        plant(
            excititor_at_head,
            role,
            f"CREATE FUNCTION planted.code(k kind) RETURNS text {BODY.format('repeat(' '''x''' ', 100)')}; "
            "CREATE CAST (kind AS text) WITH FUNCTION planted.code(kind) AS IMPLICIT",
        )

        assert probed(aoc) == (True, [])
        assert not ran(excititor_at_head)
        excititor_at_head.run("DROP CAST (kind AS text)")


def test_the_partition_key_comes_from_a_row(excititor: Database, aoc: Aoc) -> None:
    """The partition key comes from a row, so that there is a partition for it."""
    partition(excititor.connection, "vex_raw")
    excititor.run("DROP TABLE vex_raw_rest")
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0
    excititor.add("1", tenant="b", **DOCUMENTS)

    assert probed(aoc) == (True, [])


def test_a_time_as_partition_key_comes_from_a_row(excititor: Database, aoc: Aoc) -> None:
    """This holds for a time too, which the contract cannot guard; the good row is stored."""
    excititor.run(
        "ALTER TABLE vex_raw RENAME TO flat; CREATE TABLE vex_raw (LIKE flat) PARTITION BY RANGE (retrieved_at); "
        "CREATE TABLE y2025 PARTITION OF vex_raw FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')"
    )
    excititor.add("1", **DOCUMENTS)
    aoc.configure(excititor)

    assert probed(aoc) == (True, [])


def test_a_cancel_ends_the_probe(excititor_at_head: Database, aoc: Aoc) -> None:
    """A cancel of the probe's statement ends the probe; it does not count as a refused row."""
    excititor_at_head.run(
        f"CREATE FUNCTION slow() {PINNED} 'BEGIN PERFORM pg_sleep(60); RETURN NEW; END'; "
        "CREATE TRIGGER slow BEFORE INSERT ON vex_raw FOR EACH ROW EXECUTE FUNCTION slow()"
    )
    process = aoc.start("verify", "--probe", "--format", "json")
    sleeping = "pid <> pg_backend_pid() AND wait_event = 'PgSleep' AND datname = current_database()"
    wait_until(lambda: excititor_at_head.value(f"SELECT count(*) FROM pg_stat_activity WHERE {sleeping}") == 1)

    excititor_at_head.run(f"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE {sleeping}")
    out, _ = process.communicate(timeout=20)

    assert process.returncode == 1
    assert "canceling statement due to user request" in out
    assert "probe-" not in out
