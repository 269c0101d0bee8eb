"""An owner who is no superuser needs nothing more on a cluster than on one server."""

from collections.abc import Iterator

import pytest

from tests.citus.test_citus_lifecycle import fill
from tests.conftest import Aoc, Database
from tests.helpers import dump

OWNED = "SELECT relid::regclass::text FROM pg_partition_tree('advisory_raw') UNION SELECT 'advisory_raw'"


@pytest.fixture
def owner(shaped: Database) -> Iterator[str]:
    """The URL of a role that owns the raw table and may act for the owner of the legacy table."""
    role = f"owner_{shaped.connection.info.backend_pid}"
    shaped.run(f"CREATE ROLE {role} LOGIN PASSWORD 'o'; GRANT stella_concelier TO {role}")
    shaped.run(f"GRANT ALL ON SCHEMA public TO {role}, stella_concelier")
    for (table,) in shaped.rows(OWNED):
        shaped.run(f"ALTER TABLE {table} OWNER TO {role}")
    yield shaped.url_as(role, "o")
    shaped.run(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def test_an_owner_goes_up_and_down(shaped: Database, owner: str, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """Every command ends well, and the rows are as before."""
    fill(shaped)
    rows = dump(shaped)
    aoc.environment |= retrofit | {"CONCELIER_DATABASE_URL": owner}

    for command in ("audit", "plan", "upgrade", "verify --probe", "status", "chain", "downgrade base"):
        verb, *words = command.split()
        ran = aoc.json(verb, "concelier", *words)
        assert ran.exit_code == 0, (command, ran.report["findings"], ran.err)

    assert dump(shaped) == rows
