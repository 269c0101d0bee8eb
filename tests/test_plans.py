"""A kept plan answers for the catalog as it is now, and goes with the lock under which it was kept."""

import pytest

from aoc_migrate.database.own_tables import refuse_foreign
from aoc_migrate.database.runner_lock import runner_lock
from aoc_migrate.errors import Abort
from tests.conftest import Aoc, Database
from tests.helpers import PINNED
from tests.test_scans import session_of

STATE = "aoc_migration_state"
PLANS = "SELECT count(*) FROM pg_prepared_statements"
MEDDLING = {
    "a trigger": f"CREATE FUNCTION theirs() {PINNED} 'BEGIN RETURN NEW; END'; "
    f"CREATE TRIGGER theirs BEFORE INSERT ON {STATE} FOR EACH ROW EXECUTE FUNCTION theirs()",
    "another table": f"ALTER TABLE {STATE} RENAME TO kept; CREATE TABLE {STATE} (name text)",
    "a rule": f"CREATE RULE theirs AS ON INSERT TO {STATE} DO INSTEAD NOTHING",
    "a view": f"ALTER TABLE {STATE} RENAME TO kept; CREATE VIEW {STATE} AS SELECT * FROM kept",
}


@pytest.mark.parametrize("what", MEDDLING)
def test_a_kept_plan_sees_what_has_changed(what: str, excititor: Database, aoc: Aoc) -> None:
    """What somebody did to a table of ours after its first check is found by the next one."""
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0002").exit_code == 0

    with session_of(excititor) as session, runner_lock(session):
        for _ in range(8):  # after five, PostgreSQL no longer plans for each call
            refuse_foreign(session, STATE)
        assert session.value(PLANS) > 0
        excititor.run(MEDDLING[what])

        with pytest.raises(Abort) as refused:
            refuse_foreign(session, STATE)

    assert refused.value.finding.slug == "foreign-object"


def test_plans_go_with_the_lock(excititor: Database) -> None:
    """Without the run lock, which no pooler can hold for us, nothing is prepared; nor is afterwards."""
    with session_of(excititor) as session:
        refuse_foreign(session, STATE)
        assert session.value(PLANS) == 0
        for _ in range(2):
            with runner_lock(session):
                refuse_foreign(session, STATE)
                assert session.value(PLANS) > 0
            assert session.value(PLANS) == 0
        refuse_foreign(session, STATE)
        assert session.value(PLANS) == 0
