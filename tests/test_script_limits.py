"""The psql scripts: where they refuse to start, how long others wait for them, and that they end."""

import subprocess
import time

import psycopg
import pytest

from aoc_migrate.sandbox.binaries import find_binaries
from tests.builds import lonely
from tests.conftest import Aoc, Database
from tests.helpers import PINNED, before_backfill, psql, wait_until, wrong_links
from tests.partitions import partition
from tests.test_lifecycle import alembic
from tests.test_operator_scripts import APPLY


def test_the_script_is_short_enough_to_read() -> None:
    """The constraints script has at most 700 lines, for both targets and both ways."""
    assert len(APPLY.splitlines()) <= 700


def plan(target: str, words: str, aoc: Aoc) -> str:
    """Return the script for FROM:TO."""
    ran = aoc("plan", target, words, "--sql")
    assert ran.exit_code == 0, ran.err
    return ran.out


def whole(aoc: Aoc) -> str:
    """Return the script from base to head."""
    return plan("excititor", "base:head", aoc)


def apply(_: Aoc) -> str:
    """Return the constraints script."""
    return APPLY


SCRIPTS = {"constraints": apply, "plan": whole}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_role_without_temp_is_refused(name: str, excititor: Database, aoc: Aoc) -> None:
    """A role that lacks TEMP is refused in one sentence, with the GRANT, before anything else."""
    database = excititor.connection.info.dbname
    with lonely(excititor) as role:
        excititor.run(f"REVOKE TEMP ON DATABASE {database} FROM PUBLIC")
        script = f"SET ROLE {role};\n{SCRIPTS[name](aoc)}"
        refused = psql(excititor, script)
        excititor.run(f"GRANT TEMP ON DATABASE {database} TO PUBLIC")

        assert refused.exit_code == 3
        assert refused.err.count("\n") == 1
        assert f"GRANT TEMP ON DATABASE {database} TO {role}" in refused.err
        excititor.run(
            f"REVOKE TEMP ON DATABASE {database} FROM PUBLIC; {refused.err.partition('procedures: ')[2]}"
        )
        again = psql(excititor, script)
        excititor.run(f"GRANT TEMP ON DATABASE {database} TO PUBLIC")
        assert "temporary" not in again.err


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_surrounding_transaction_is_refused(name: str, excititor: Database, aoc: Aoc) -> None:
    """psql -1 is refused in one sentence."""
    refused = psql(excititor, SCRIPTS[name](aoc), "-1")

    assert refused.exit_code == 3
    assert "this script commits on its own: run it without psql -1" in refused.err
    assert excititor.value("SELECT to_regclass('aoc_migration_state')") is None


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_partitioned_table_is_refused(name: str, excititor: Database, aoc: Aoc) -> None:
    """A partitioned table is refused in one sentence that names the command."""
    script = SCRIPTS[name](aoc)
    partition(excititor.connection, "vex_raw")

    refused = psql(excititor, script)

    assert refused.exit_code == 3
    assert "vex_raw is partitioned" in refused.err
    assert "run aoc-migrate instead" in refused.err


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_encoding_other_than_utf8_is_refused(name: str, empty_database: Database, aoc: Aoc) -> None:
    """A database in another encoding is refused in one sentence, before anything is made in it."""
    empty_database.run("CREATE DATABASE plain ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    try:
        refused = psql(empty_database, f"\\c plain\n{SCRIPTS[name](aoc)}", "-v", "target=excititor")
        left = psql(empty_database, "\\c plain\nSELECT relname FROM pg_class WHERE relname LIKE 'aoc%'", "-qAt")
    finally:
        empty_database.run("DROP DATABASE plain")

    assert refused.exit_code == 3
    assert "the encoding of this database is SQL_ASCII" in refused.err
    assert left.out == ""


def alembic_sql(aoc: Aoc, excititor: Database) -> str:
    """Return what stock Alembic prints for the backfill."""
    printed = alembic(excititor, aoc, "upgrade", "excititor_0005:excititor_0006", "--sql").out
    return f"SET aoc.allow_supersedes_retrofit = 'true';\n{printed}"


def plan_sql(aoc: Aoc, _: Database) -> str:
    """Return what `plan --sql` prints for the backfill."""
    return plan("excititor", "excititor_0005:excititor_0006", aoc)


BACKFILLS = {"plan": plan_sql, "alembic": alembic_sql}


@pytest.fixture
def excititor_before_backfill(request: pytest.FixtureRequest, excititor: Database, aoc: Aoc) -> Database:
    """Excititor's database before the backfill, with rows that need links."""
    return before_backfill(excititor, aoc, {}, request)


NEEDY = """SELECT id FROM (SELECT *, row_number() OVER (PARTITION BY tenant, source_vendor, upstream_id
    ORDER BY retrieved_at, id COLLATE "C") AS n FROM vex_raw) AS numbered WHERE n > 1
  ORDER BY tenant, source_vendor, upstream_id, retrieved_at, id COLLATE "C" """


@pytest.mark.parametrize("way", BACKFILLS)
def test_a_locked_row_delays_nobody_else(way: str, excititor_before_backfill: Database, aoc: Aoc) -> None:
    """While somebody locks one row of a batch, a writer of another row of that batch waits a second at most."""
    script = BACKFILLS[way](aoc, excititor_before_backfill)
    ids = [row[0] for row in excititor_before_backfill.rows(NEEDY)]
    words = [str(find_binaries() / "psql"), excititor_before_backfill.url, "-X", "-v", "retrofit=1"]
    with (
        psycopg.connect(excititor_before_backfill.url) as holder,
        psycopg.connect(excititor_before_backfill.url, autocommit=True) as writer,
    ):
        holder.execute("SELECT FROM vex_raw WHERE id = %s FOR UPDATE", [ids[-1]])
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            process.stdin.write(script)
            process.stdin.close()
            waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            try:
                wait_until(lambda: excititor_before_backfill.value(waits) == 1)
                writer.execute("SET lock_timeout = '1s'")
                for id_ in ids[:8]:
                    writer.execute("UPDATE vex_raw SET linkset = linkset WHERE id = %s", [id_])
                    time.sleep(0.1)
                assert process.poll() is None
            finally:
                holder.rollback()
            process.wait(timeout=60)

    assert process.returncode == 0
    assert wrong_links(excititor_before_backfill) == 0


def test_a_new_trigger_is_not_run(excititor_before_backfill: Database, aoc: Aoc) -> None:
    """A stranger's trigger that is attached while batches run ends the script, and never fires."""
    script, role = (
        plan_sql(aoc, excititor_before_backfill),
        f"stranger_{excititor_before_backfill.connection.info.backend_pid}",
    )
    excititor_before_backfill.run(
        f"CREATE ROLE {role}; CREATE TABLE fired (n int); GRANT INSERT ON fired TO PUBLIC; "
        f"CREATE FUNCTION strange() {PINNED} 'BEGIN INSERT INTO fired VALUES (1); RETURN NEW; END'; "
        f"ALTER FUNCTION strange() OWNER TO {role}"
    )
    words = [str(find_binaries() / "psql"), excititor_before_backfill.url, "-X", "-v", "retrofit=1"]
    with psycopg.connect(excititor_before_backfill.url) as holder:
        holder.execute("SELECT FROM vex_raw FOR UPDATE")
        with subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            process.stdin.write(script)
            process.stdin.close()
            process.stdin = None
            waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            try:
                wait_until(lambda: excititor_before_backfill.value(waits) == 1)
                excititor_before_backfill.run(
                    "CREATE TRIGGER late BEFORE UPDATE ON vex_raw FOR EACH ROW EXECUTE FUNCTION strange()"
                )
            finally:
                holder.rollback()
            _, err = process.communicate(timeout=60)

    assert (process.returncode, excititor_before_backfill.value("SELECT count(*) FROM fired")) == (3, 0), err
    assert f"foreign-code: trigger late runs public.strange(), which belongs to role {role}" in err
    excititor_before_backfill.run(f"DROP FUNCTION strange() CASCADE; DROP OWNED BY {role}; DROP ROLE {role}")
    assert psql(excititor_before_backfill, script, "-v", "retrofit=1").exit_code == 0
    assert wrong_links(excititor_before_backfill) == 0


@pytest.mark.parametrize("way", BACKFILLS)
def test_batches_come_to_an_end(way: str, excititor_before_backfill: Database, aoc: Aoc) -> None:
    """If a trigger prevents links, the number of scans is limited: exit 0, with a warning."""
    script = BACKFILLS[way](aoc, excititor_before_backfill)
    excititor_before_backfill.run(
        f"CREATE FUNCTION stays() {PINNED} 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER stays BEFORE UPDATE ON vex_raw FOR EACH ROW EXECUTE FUNCTION stays()"
    )

    ran = psql(excititor_before_backfill, script, "-v", "retrofit=1", "-v", "accept=update-trigger:stays")

    assert ran.exit_code == 0, ran.err
    assert "rows with wrong links keep coming; aoc-migrate verify names what is left" in ran.err
