"""SIGTERM and SIGINT end each long step, on the server too, and the same command goes on."""

import signal
from typing import Any

import psycopg
import pytest

from tests.faults.lab import Lab
from tests.faults.long_steps import MANY, OURS, STEPS, Step, blocked, up
from tests.faults.outcome import differences, outcome
from tests.helpers import wait_until
from tests.sampling import pairs


def last_outcome(connection: psycopg.Connection[Any]) -> Any:
    """Return the outcome of the last run in the ledger."""
    row = connection.execute("SELECT outcome FROM aoc_migration_log ORDER BY run DESC LIMIT 1").fetchone()
    return row[0] if row else None


@pytest.mark.alike
@pytest.mark.parametrize(
    ("step", "number"), pairs(STEPS, [signal.SIGTERM, signal.SIGINT]), ids=lambda it: getattr(it, "name", str(it))
)
def test_a_signal_ends_the_step_on_the_server_too(lab: Lab, step: Step, number: signal.Signals) -> None:
    """While what blocks it is still there, the signal ends the step here and on the server; the ledger says so."""
    peace = lab.undisturbed(step.scenario)
    with lab.database(peace.template) as name, lab.connect(name) as look:
        conninfo = lab.url_of(name)
        with blocked(conninfo, step.blocker):
            process = lab.start("excititor", conninfo, *step.scenario.words, *step.options)
            wait_until(lambda: step.reached(look))
            process.send_signal(number)
            _, err = process.communicate(timeout=60)
            assert process.returncode == 128 + number, err
            assert f"ended by {number.name}" in err
            wait_until(lambda: look.execute(OURS).fetchone() == (0,))
        if step.recorded:
            assert last_outcome(look) == "interrupted"

        again = lab.run("excititor", conninfo, *step.scenario.words)

        assert again.exit_code == 0, again.out + again.err
        assert differences(peace.outcome, outcome(look)) == []


@pytest.mark.parametrize(
    ("command", "number"),
    pairs(["wait", "audit"], [signal.SIGTERM, signal.SIGINT]),
    ids=lambda it: getattr(it, "name", it),
)
def test_a_signal_ends_commands_that_only_read(lab: Lab, command: str, number: signal.Signals) -> None:
    """`wait`, and `audit` while it reads a large table, end and leave nothing running on the server."""
    peace = lab.undisturbed(up("0002", rows=MANY))
    with lab.database(peace.template) as name, lab.connect(name) as look:
        process = lab.start("excititor", lab.url_of(name), command, "excititor")
        assert process.stderr.readline()
        process.send_signal(number)
        _, err = process.communicate(timeout=60)

        assert process.returncode == 128 + number, err
        wait_until(lambda: look.execute(OURS).fetchone() == (0,))
