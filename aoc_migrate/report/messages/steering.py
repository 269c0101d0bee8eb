"""What `control` finds, and what it leaves in the report of a run."""

from aoc_migrate.report.messages.message import Message

STEERING: dict[str, Message] = {
    "nothing-to-control": Message(
        "Nothing runs on {subject}: no session holds the run lock.",
        "What you ask of a run ends with it: start the run first, and control it from another terminal. To see "
        "what ran last, run: aoc-migrate status {subject}",
    ),
    "stopped-as-asked": Message(
        "The run stopped at {revision}, as {who} asked; it was on its way to {goal}.",
        "To go on, run: {command}",
        severity="warning",
    ),
}
"""Findings about steering a run."""
