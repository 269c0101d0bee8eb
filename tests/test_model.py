"""Short walks of the model; `scripts/fuzz --only model` goes on for hours."""

from types import SimpleNamespace

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.fuzzing.place import place_of
from tests.model.machine import Model


def test_any_order_of_commands_and_faults_keeps_every_promise(pg_server: SimpleNamespace) -> None:
    """In walks of any commands, faults and changes, no row is lost, ``next`` leads home, and base is as it was."""

    class Here(Model):
        place = place_of(pg_server)

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=3,
            stateful_step_count=8,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
