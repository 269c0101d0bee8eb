"""Pictures of a page, as numbers that the template draws: who waited for the steps, and how deep chains are."""

from typing import NamedTuple

from aoc_migrate.report.facts.runs import HistoryFacts
from aoc_migrate.report.formatting import duration, plain
from aoc_migrate.report.model import Report, StepReport
from aoc_migrate.report.tables import Table

_LONGEST = 92.0  # percent of the width; the rest keeps the limit's line away from the edge
_HEIGHT = 120  # of the highest column


class Bar(NamedTuple):
    """A step: how long it waited for a strong lock and held it, in percent of the width, and in words."""

    name: str
    waited: float
    held: float
    words: str
    over: bool


class Steps(NamedTuple):
    """The steps, with the limit of a stall in percent of the width, if it is known."""

    bars: list[Bar]
    limit: float | None
    limit_words: str
    longest: str


class Column(NamedTuple):
    """A column of a histogram: what it counts, how many there are, its height."""

    label: str
    number: str
    height: float


class Histogram(NamedTuple):
    """The sizes of a table as columns."""

    heading: str
    caption: str
    columns: list[Column]


def steps(report: Report) -> Steps | None:
    """Return the picture of the steps of a report, if it has any."""
    if not report.steps:
        return None
    # The steps of an earlier run, which `history` shows, had a limit of their own.
    seconds = None if report.get(HistoryFacts) else report.parameters.get("max_stall")
    limit = seconds * 1000 if isinstance(seconds, int | float) and seconds > 0 else None
    stalls = [step.stall_ms or 0 for step in report.steps]
    whole = max(limit or 0, *stalls, 1) / _LONGEST
    longest = max(stalls)
    return Steps(
        [_bar(step, whole, limit) for step in report.steps],
        None if limit is None else round(limit / whole, 2),
        "" if limit is None else duration(limit / 1000),
        duration(longest / 1000) if longest else "",
    )


def _bar(step: StepReport, whole: float, limit: float | None) -> Bar:
    waited, held = step.waited_ms or 0, step.held_ms or 0
    over = limit is not None and (step.stall_ms or 0) > limit
    name = f"{step.phase}: {step.statement}" if step.phase else step.statement
    if step.stall_ms is None:
        return Bar(name, 0, 0, f"no strong lock; {_work(step)}", over=False)
    words = f"{_ms(step.stall_ms)}: {_ms(waited)} waiting, {_ms(held)} holding"
    words += f"; {step.attempts:,} attempts" if step.attempts > 1 else ""
    return Bar(name, round(waited / whole, 2), round(held / whole, 2), words, over)


def _work(step: StepReport) -> str:
    """Return what a step without a strong lock did, and how long it paused for others."""
    words = "no time measured" if step.total_ms is None else f"{_ms(step.total_ms)} of work"
    words += f", {step.rows:,} rows" if step.rows is not None else ""
    words += f", each locked for at most {_ms(step.longest_ms)}" if step.longest_ms is not None else ""
    paused = [f"{plain(reason)} {_ms(ms)}" for reason, ms in (step.pauses or {}).items()]
    return words + (f", paused: {', '.join(paused)}" if paused else "")


def _ms(milliseconds: float) -> str:
    return duration(milliseconds / 1000)


def histogram(caption: str, table: Table) -> Histogram:
    """Return the histogram of a table of sizes."""
    name, value = table.columns
    largest = max(size.value for _, size in table.rows) or 1
    columns = [
        Column(item.text, size.text, round(max(_HEIGHT * size.value / largest, 2 * (size.value > 0)), 1))
        for item, size in table.rows
    ]
    return Histogram(table.title.capitalize(), f"{caption}: {value} by number of {name}", columns)
