"""The limit of temporary files: lifted where the role may, found before the first step where it may not."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.conftest import Aoc, Database
from tests.helpers import fill, psql
from tests.test_lifecycle import alembic


@pytest.fixture
def limited(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> Iterator[Database]:
    """A table whose index builds exceed the limit of its owner, who migrates."""
    role = f"limited_{excititor.connection.info.backend_pid}"
    fill(excititor, 30_000)
    excititor.run(
        f"CREATE ROLE {role} LOGIN PASSWORD 'l'; ALTER TABLE vex_raw OWNER TO {role}; "
        f"GRANT CREATE ON SCHEMA public TO {role}; ALTER ROLE {role} SET temp_file_limit = '1MB'; "
        f"ALTER ROLE {role} SET maintenance_work_mem = '1MB'; GRANT pg_read_all_stats TO {role}"
    )
    aoc.environment |= retrofit | {"EXCITITOR_DATABASE_URL": excititor.url_as(role, "l")}
    with psycopg.connect(excititor.url_as(role, "l"), autocommit=True) as connection:
        yield Database(connection, "vex_raw", "excititor")
    excititor.run(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def test_a_limit_that_sorts_exceed_is_found_first(limited: Database, excititor: Database, aoc: Aoc) -> None:
    """A limit that the index builds exceed stops the upgrade before it changes anything; the remedy works."""
    audited, upgraded = aoc.json("audit"), aoc.json("upgrade")
    script = psql(limited, aoc("plan", "excititor", "base:head", "--sql").out, "-v", "retrofit=1")

    assert (audited.exit_code, audited.slugs("error")) == (1, ["temp-file-limit"])
    assert (upgraded.exit_code, upgraded.slugs("error"), upgraded.report["changed"]) == (
        1,
        ["temp-file-limit"],
        False,
    )
    assert script.exit_code == 3
    assert all(words in script.err for words in ("temp_file_limit", "nothing was changed"))
    excititor.run(audited.finding("temp-file-limit")["help"].partition("run: ")[2].partition(";")[0])
    assert aoc("upgrade").exit_code == 0


def test_a_limit_that_is_high_enough_stops_nothing(limited: Database, excititor: Database, aoc: Aoc) -> None:
    """A limit that no sort reaches stops nothing; each build's sort was tried once."""
    excititor.run(f"ALTER ROLE {limited.connection.info.user} SET temp_file_limit = '1GB'")

    audited, upgraded = aoc.json("audit"), aoc.json("upgrade")

    assert audited.report["facts"]["full_reads_for"]["trial sorts"] == 2
    assert (upgraded.exit_code, upgraded.slugs("error")) == (0, [])


def test_a_superuser_lifts_the_limit(excititor: Database, aoc: Aoc) -> None:
    """A role that may set the limit needs no room to spare: our sessions and scripts lift it for themselves."""
    fill(excititor, 30_000)
    aoc.configure(excititor)
    options = {"PGOPTIONS": "-c temp_file_limit=1MB -c maintenance_work_mem=1MB"}

    ran = aoc.json("upgrade", "excititor_0005", **options)
    assert (ran.exit_code, ran.slugs("error")) == (0, [])
    assert aoc("downgrade", "base").exit_code == 0
    script = aoc("plan", "excititor", "base:excititor_0005", "--sql").out

    assert psql(excititor, script, "-v", "release_hold=1", **options).exit_code == 0


def test_the_limit_is_named_wherever_it_stops_us(limited: Database, aoc: Aoc) -> None:
    """Stock Alembic, which audits nothing, names the limit and its remedy when a build exceeds it."""
    ran = alembic(limited, aoc, "upgrade", "excititor_0004", check=False)

    assert ran.exit_code != 0
    assert "cannot sort the table: temporary file size exceeds" in ran.out + ran.err
    assert "GRANT SET ON PARAMETER temp_file_limit" in ran.out + ran.err
