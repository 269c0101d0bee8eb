"""A client or backend dies inside a long step: the same command waits for what still runs, and succeeds."""

import subprocess
from collections.abc import Callable

import pytest

from tests.faults.boundaries import Boundary
from tests.faults.lab import Lab, terminate
from tests.faults.long_steps import BUILDING, MANY, STEPS, Step, blocked, up
from tests.faults.outcome import differences, outcome
from tests.faults.proxy import Proxy, Then
from tests.forks import Process
from tests.helpers import wait_until
from tests.sampling import sample

End = Callable[[Lab, str, Process], object]


def kill(_lab: Lab, _database: str, process: Process) -> None:
    """Kill the client; the server notices at its next check."""
    process.kill()


DEATHS: list[tuple[End, Step]] = [(kill, step) for step in STEPS]
DEATHS += sample([(terminate, step) for step in STEPS if step.scenario.rows < MANY], "terminated")


@pytest.mark.alike
@pytest.mark.parametrize(("end", "step"), DEATHS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_kill_inside_a_long_step_changes_no_outcome(lab: Lab, end: End, step: Step) -> None:
    """Killed inside the step and run again while its blocker is still there, it ends as if undisturbed."""
    peace = lab.undisturbed(step.scenario)
    with lab.database(peace.template) as name, lab.connect(name) as look:
        conninfo = lab.url_of(name)
        with blocked(conninfo, step.blocker):
            process = lab.start("excititor", conninfo, *step.scenario.words, *step.options)
            wait_until(lambda: step.reached(look))
            end(lab, name, process)
            _, err = process.communicate(timeout=30)
            assert process.returncode in (-9, 3), err
            again = lab.start("excititor", conninfo, *step.scenario.words)
            assert again.stderr.readline(), "it has begun"
        out, err = again.communicate(timeout=60)

        assert again.returncode == 0, out + err
        assert differences(peace.outcome, outcome(look)) == []


def test_an_orphaned_build_is_waited_for(lab: Lab) -> None:
    """A build whose client vanished without a trace is waited for, and its index is taken as it is."""
    scenario = up("0003")
    peace = lab.undisturbed(scenario)
    (build,) = [b for b in peace.boundaries if b.sql.startswith("CREATE UNIQUE INDEX CONCURRENTLY")]
    with lab.database(peace.template) as name, lab.connect(name) as look:
        host, port = lab.address

        def vanish(sql: str) -> Then:
            return Then.VANISH if sql == build.sql else Then.PASS

        index = "SELECT indexrelid, indisvalid FROM pg_index WHERE indexrelid = 'vex_raw_idempotency_v1'::regclass"
        with Proxy(host, port, vanish) as proxy:
            with blocked(lab.url_of(name), "UPDATE vex_raw SET linkset = linkset WHERE id = 'r2'"):
                process = lab.start("excititor", lab.url_of(name, proxy.port), *scenario.words)
                waits = f"SELECT count(*) FROM pg_stat_activity WHERE {BUILDING.format('waiting%')}"
                wait_until(lambda: look.execute(waits.encode()).fetchone() == (1,))
                process.kill()
                process.communicate()
                again = lab.start("excititor", lab.url_of(name), *scenario.words)
                assert "waiting for another run" in again.stderr.readline()
            wait_until(lambda: look.execute(index).fetchone()[1])  # type: ignore[index]
            built = look.execute(index).fetchone()
            assert again.poll() is None, "the backend of the vanished client still holds the lock"
        out, err = again.communicate(timeout=60)

        assert again.returncode == 0, out + err
        assert look.execute(index).fetchone() == built
        assert differences(peace.outcome, outcome(look)) == []


def test_somebody_elses_build_is_waited_for(lab: Lab) -> None:
    """A build of the same index that runs without our lock is waited for too, and not begun a second time."""
    scenario = up("0003")
    peace = lab.undisturbed(scenario)
    (build,) = [b for b in peace.boundaries if b.sql.startswith("CREATE UNIQUE INDEX CONCURRENTLY")]
    with lab.database(peace.template) as name, lab.connect(name) as look:
        with blocked(lab.url_of(name), "UPDATE vex_raw SET linkset = linkset WHERE id = 'r2'"):
            other = _psql(lab.url_of(name), build)
            wait_until(lambda: look.execute("SELECT FROM pg_stat_progress_create_index").fetchone() is not None)
            again = lab.start("excititor", lab.url_of(name), *scenario.words)
            wait_until(lambda: "may be building it" in again.stderr.readline())
        out, err = again.communicate(timeout=60)

        assert (other.wait(30), again.returncode) == (0, 0), out + err
        assert differences(peace.outcome, outcome(look)) == []


def _psql(conninfo: str, statement: Boundary) -> "subprocess.Popen[bytes]":
    """Run one statement in a process of its own."""
    import sys

    code = "import sys, psycopg; psycopg.connect(sys.argv[1], autocommit=True).execute(sys.argv[2])"
    return subprocess.Popen([sys.executable, "-c", code, conninfo, statement.sql])
