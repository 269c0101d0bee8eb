"""The options of `control`, and what they ask of a run."""

from typing import Any

import click

from aoc_migrate.cli.options import Shared
from aoc_migrate.cli.param_types import BATCH, Lag, Share

STEERING = (
    Shared("--pause", is_flag=True, help="Pause the run. Its --deadline does not count this pause."),
    Shared("--resume", is_flag=True, help="End --pause, and --pause-before-strong unless that is given too."),
    Shared("--pace", "new_pace", type=Share(), help="Share of the time that batches run, from now on."),
    Shared("--batch-time", "new_batch_time", type=BATCH, help="Target time of a batch, from now on."),
    Shared(
        "--max-lag", "new_max_lag", type=Lag(), help="As that of upgrade, from now on: 64MB, 10s, 64MB,10s or off."
    ),
    Shared("--pause-before-strong", is_flag=True, help="Pause before each ACCESS EXCLUSIVE lock."),
    Shared("--continue", "go_on", is_flag=True, help="Let the next step with an ACCESS EXCLUSIVE lock begin."),
    Shared("--stop-after", metavar="REVISION", help="End the run at this revision, as if it had been its goal."),
)


def settings_of(asked: dict[str, Any]) -> dict[str, Any]:
    """Return what options ask for, by the names in the row that a run reads. Raises UsageError (exit 2)."""
    if asked["pause"] and (asked["resume"] or asked["go_on"]):
        raise click.UsageError(
            f"--pause and {'--resume' if asked['resume'] else '--continue'} exclude each other."
        )
    settings: dict[str, Any] = {}
    if asked["pause"] or asked["resume"]:
        settings["pause"] = asked["pause"]
    if asked["pause_before_strong"] or asked["resume"]:
        settings["pause_before_strong"] = asked["pause_before_strong"]
    if asked["go_on"]:
        from aoc_migrate.run.control import go_ahead

        settings["continue"] = go_ahead()
    elif asked["pause_before_strong"]:
        settings["continue"] = None  # an earlier one does not count
    limits = {"pace": asked["new_pace"], "batch_time": asked["new_batch_time"]}
    return (
        settings
        | {name: value for name, value in limits.items() if value is not None}
        | (asked["new_max_lag"] or {})
    )
