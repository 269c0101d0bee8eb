"""Each phase of a rehearsal connects again, and changes nothing but the copy."""

import pytest

from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.same_database import marked
from aoc_migrate.database.session import Session, connect
from aoc_migrate.database.targets import Target
from aoc_migrate.errors import Abort
from aoc_migrate.report.model import Report
from aoc_migrate.run.rehearsal_phases import Phases
from aoc_migrate.run.target_run import Options
from tests.conftest import Database


def test_a_phase_runs_where_the_rehearsal_began_or_nowhere(concelier: Database, excititor: Database) -> None:
    """If the URL leads to another database than that of the rehearsal's own session, the phase is refused."""
    target, elsewhere = (Target("concelier", database.url) for database in (concelier, excititor))
    ran = list[str]()

    def verb(session: Session, _report: Report) -> None:
        ran.append(session.value("SELECT current_database()"))

    with connect(target, "test", Limits(), Flags()) as session, marked(session) as mark:
        phases = Phases(session, Report("concelier", None), Options(), mark)
        assert phases.run("audit", "audit", verb)
        with connect(elsewhere, "test", Limits(), Flags()) as other, pytest.raises(Abort) as refused:
            Phases(other, Report("concelier", None), Options(), mark).run("upgrade", "upgrade", verb)

    assert refused.value.exit_code == 2
    assert "led to another database this time, which is unchanged" in refused.value.finding.problem
    assert ran == [concelier.connection.info.dbname]
