"""What a run recorded of itself in the ledger, read back as data: the columns may hold any JSON."""

from dataclasses import fields
from typing import Any

from aoc_migrate.database.asked import change_of
from aoc_migrate.report.facts.steered import Change
from aoc_migrate.report.model import StepReport


def changes_in(written: Any) -> list[Change]:
    """Return what was asked of a run while it was under way."""
    return [change for change in map(change_of, written if isinstance(written, list) else []) if change]


def steps_in(written: Any) -> list[StepReport]:
    """Return the recorded steps of a run."""
    return [step for step in map(_readable, written if isinstance(written, list) else []) if step]


_NUMBERS = [field.name for field in fields(StepReport) if field.name not in ("statement", "pauses", "phase")]


def _readable(written: Any) -> StepReport | None:
    """Return a recorded step, or None if it is not one: the ledger may hold any JSON."""
    if not isinstance(written, dict) or not isinstance(written.get("statement"), str):
        return None
    numbers = {name: written[name] for name in _NUMBERS if _is_count(written.get(name))}
    step, pauses = StepReport(written["statement"], **numbers), written.get("pauses")
    if isinstance(pauses, dict):
        step.pauses = {reason: spent for reason, spent in pauses.items() if _is_count(spent)}
    return step


def _is_count(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**53
