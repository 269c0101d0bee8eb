"""The verifier of both targets at once: the role is the server's, so two runs may change it at the same time."""

import psycopg
import pytest

from tests.conftest import Aoc, Database
from tests.helpers import wait_until

ROLE = "both-verify"
CHANGES = {
    "create": f'CREATE ROLE "{ROLE}"',
    "alter": f'ALTER ROLE "{ROLE}" CONNECTION LIMIT 5',
    "set": f'ALTER ROLE "{ROLE}" SET default_transaction_read_only = on',
    "drop": f'DROP ROLE "{ROLE}"',
}
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


@pytest.mark.parametrize("change", CHANGES)
def test_another_runs_change_of_the_role_is_no_failure(change: str, excititor: Database, aoc: Aoc) -> None:
    """Whatever another run does to the role while we wait for it, create and drop end as if alone."""
    aoc.configure(excititor)
    aoc.environment["AOC_VERIFIER_USER"] = ROLE
    excititor.run(f'DROP ROLE IF EXISTS "{ROLE}"')
    if change != "create":
        excititor.run(f'CREATE ROLE "{ROLE}"')
    verb = "drop" if change == "drop" else "create"
    with psycopg.connect(excititor.url) as other:
        other.execute(CHANGES[change].encode())
        process = aoc.start("verifier", verb)
        wait_until(lambda: excititor.value(WAITING) > 0)
        other.commit()
    out, err = process.communicate(timeout=60)

    assert process.returncode == 0, (out, err)
    exists = excititor.value("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", [ROLE])
    assert exists == (verb == "create")
    if exists:
        assert aoc.json("verifier", "check").slugs() == []
        assert aoc("verifier", "drop").exit_code == 0
