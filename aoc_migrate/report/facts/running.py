"""How far a running step has got: one record for the log, the bar on a terminal, and `status`."""

from dataclasses import dataclass, replace
from typing import Any

from aoc_migrate.report.fields import Facts, Milliseconds, Seconds
from aoc_migrate.report.formatting import seconds_shown

_LARGEST = 2**53  # we write no larger number, and JavaScript could not read one


@dataclass(frozen=True)
class Running(Facts):
    """A running step: how much is done, how fast, how long the rest will take, and what it waits for.

    What is not known is left out. ``doing``: the phase of an index build. ``approximate``: the total comes from
    PostgreSQL's statistics. ``waits_for``: why it waits or pauses, as a phrase. ``estimated_ms``: how long the
    whole step was estimated to take.
    """

    step: str
    elapsed_seconds: Seconds | None = None
    doing: str | None = None
    done: int | None = None
    total: int | None = None
    unit: str | None = None
    approximate: bool | None = None
    percent: int | None = None
    per_second: float | None = None
    left_seconds: Seconds | None = None
    waits_for: str | None = None
    waited_seconds: Seconds | None = None
    estimated_ms: Milliseconds | None = None

    def at(self, done: int, total: int | None) -> "Running":
        """Return the same step with ``done``, and with percentage and time left, unless the total is wrong."""
        if not total or done > total:
            return replace(self, done=done, total=None, approximate=None, percent=None, left_seconds=None)
        left = None if self.waits_for or not self.per_second else round((total - done) / self.per_second, 1)
        return replace(self, done=done, total=total, percent=100 * done // total, left_seconds=left)

    @property
    def state(self) -> str:
        """The state in one line, without the step."""
        percent = "" if self.percent is None else f" ({self.percent} %)"
        parts = (self.doing, self._place() + percent, self._time(), *self._pace())
        return ", ".join(filter(None, parts)) or "starting"

    @property
    def brief(self) -> str:
        """The same next to a bar, where there may be no room for its end."""
        percent = "" if self.percent is None else f"{self.percent} %"
        if self.waits_for:
            return ", ".join(filter(None, (percent or self._time(), self.waits_for)))
        rate, left = self._pace()
        return ", ".join(filter(None, (self.doing, percent, left, self._place(), rate))) or self.state

    def _place(self) -> str:
        if self.done is None:
            return ""
        of = "" if self.total is None else f" of {'about ' * bool(self.approximate)}{self.total:,}"
        return f"{self.done:,}{of} {self.unit}"

    def _time(self) -> str:
        if self.done is not None or self.elapsed_seconds is None:
            return ""
        of = "" if self.estimated_ms is None else f" of about {seconds_shown(self.estimated_ms / 1000)} (estimate)"
        return seconds_shown(self.elapsed_seconds) + of

    def _pace(self) -> tuple[str, ...]:
        if self.waits_for:
            waited = round(self.waited_seconds or 0)
            return self.waits_for, f"{seconds_shown(waited)} so far" if waited else ""
        rate = f"{self.per_second:,.0f} {self.unit}/s" if self.per_second else ""
        return rate, "" if self.left_seconds is None else f"{seconds_shown(self.left_seconds)} left"


def readable(stored: Any) -> Running | None:
    """Return a stored record, without fields of a wrong type, or None if it is not one: it may be any JSON."""
    if not isinstance(stored, dict) or not isinstance(stored.get("step"), str):
        return None
    texts = {name: stored[name] for name in ("step", "doing", "unit", "waits_for") if _is(str, stored.get(name))}
    seconds = ("elapsed_seconds", "per_second", "left_seconds", "waited_seconds", "estimated_ms")
    numbers = {name: stored[name] for name in seconds if _is(int | float, stored.get(name))}
    found = Running(**texts, **numbers, approximate=True if stored.get("approximate") is True else None)
    done, total = (value if _is(int, value) else None for value in (stored.get("done"), stored.get("total")))
    return found if done is None or found.unit is None else found.at(done, total)


def _is(kind: Any, value: Any) -> bool:
    if not isinstance(value, kind) or isinstance(value, bool):
        return False
    return isinstance(value, str) or 0 <= value < _LARGEST
