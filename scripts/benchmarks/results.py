"""Ratios: both sides are measured in turn, in one run on one machine; times of other runs say little."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from time import perf_counter
from typing import Any


@dataclass(frozen=True)
class Ratio:
    """One thing measured against another: ``ours`` and ``other`` in ``unit``, and our bound, if any.

    ``counted``: not a time, but what the server counts: scans, bytes, rows.
    ``least``: the bound is a lower one.
    """

    what: str
    other_is: str
    ours: float
    other: float
    unit: str
    bound: float | None
    counted: bool = False
    least: bool = False

    @property
    def ratio(self) -> float:
        """Ours as a multiple of the other."""
        return self.ours / self.other if self.other else float("inf")

    @property
    def held(self) -> bool:
        """True where the bound holds, or there is no bound."""
        if self.bound is None:
            return True
        return self.ratio >= self.bound if self.least else self.ratio <= self.bound

    def row(self) -> dict[str, Any]:
        """Return it as data for JSON."""
        return asdict(self)


HEAD = "| what | ours | against | which is | ratio | bound | |\n| --- | ---: | ---: | --- | ---: | ---: | --- |\n"


def line(of: Ratio) -> str:
    """Return a ratio as a row of a Markdown table."""
    bound = "\N{EN DASH}" if of.bound is None else f"{'≥' if of.least else '≤'} {of.bound:g}"
    kind = "counted" if of.counted else "timed"
    mark = kind if of.held else f"{kind}, **missed**"
    ours, other = figure(of.ours, of.unit), figure(of.other, of.unit)
    return f"| {of.what} | {ours} | {other} | {of.other_is} | {of.ratio:.2f} | {bound} | {mark} |"


def figure(value: float, unit: str) -> str:
    """Return a number with three significant digits, and its unit."""
    if unit == "bytes":
        return f"{value / 1e6:,.0f} MB"
    digits = 0 if value >= 100 or value == round(value) else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}".strip()


def say(text: str) -> None:
    """Write a line of progress to stderr; stdout is for the table."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def seconds(action: Callable[[], Any]) -> float:
    """Return how long an action takes."""
    begun = perf_counter()
    action()
    return perf_counter() - begun


def in_turn(times: int, *actions: Callable[[], Any]) -> Iterator[float]:
    """Run the actions in turn, ``times`` times; yield the best time of each, in seconds."""
    return best(*(partial(seconds, action) for action in actions), times=times)


def best(*measured: Callable[[], float], times: int = 2) -> Iterator[float]:
    """Take measurements in turn, ``times`` times; yield the smallest figure of each."""
    rounds = [[measure() for measure in measured] for _ in range(times)]
    yield from map(min, zip(*rounds, strict=True))
