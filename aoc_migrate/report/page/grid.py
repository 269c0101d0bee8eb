"""Tables of a page. Rows with many values, or with long lists such as ids of duplicates, are blocks instead."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from aoc_migrate.report.facts.checked import CheckFacts
from aoc_migrate.report.formatting import cell, shortened, shown, title
from aoc_migrate.report.tables import Table

LONGEST = 2000  # characters of a value; the JSON has the rest
_FITS = 60  # characters of a list that fits in a cell
_COLUMNS = 10  # that fit on paper
_WORD, _WORDS = 32, 12  # characters that stay on one line
_MARKS = {"missing": "error", "changed": "error", "foreign": "error", "invalid": "error", "guarded": "warning"}


@dataclass(frozen=True)
class Shown:
    """A cell: its text, or names next to each other, with the mark of a severity or a link, if any."""

    text: str
    mark: str = ""
    link: str = ""
    names: tuple[str, ...] = ()

    @property
    def short(self) -> bool:
        """Whether it stays on one line: a number, a state, a time, a name, a command. Prose may be wrapped."""
        length, wraps = len(self.text), " " in self.text and "--" not in self.text
        return not self.names and length <= (_WORDS if wraps else _WORD)


class Grid(NamedTuple):
    """A table of the page: each column has a name and an alignment, number or text."""

    caption: str
    columns: list[tuple[str, str]]
    rows: list[list[Shown]]


class Block(NamedTuple):
    """A row as a block: its values by name, and its lists, one item a line."""

    values: list[tuple[str, str]]
    lists: list[tuple[str, list[str]]]


class Part(NamedTuple):
    """A table or blocks, whichever its rows need, below a heading; ``lines``: code that belongs to each row."""

    heading: str
    caption: str
    grid: Grid | None
    blocks: list[Block]
    lines: list[tuple[str, str]]


def grid(caption: str, names: Iterable[str], rows: Iterable[Iterable[str]]) -> Grid:
    """Return a table of texts."""
    return Grid(caption, [(name, "text") for name in names], [[Shown(value) for value in row] for row in rows])


def part(caption: str, table: Table) -> Part:
    """Return a table of a report as a part of the page."""
    named = [(" ".join(value.text for value in row[:3]), "\n".join(lines)) for row, lines in _lined(table)]
    long = len(table.columns) > _COLUMNS or any(
        isinstance(value.value, list) and len(cell(value.value)) > _FITS for r in table.rows for value in r
    )
    blocks = [_block(table, row) for row in table.rows] if long else []
    return Part(table.title.capitalize(), caption, None if long else _grid(caption, table), blocks, named)


def _lined(table: Table) -> list[tuple[list[Any], tuple[str, ...]]]:
    return [(row, lines) for row, lines in zip(table.rows, table.lines, strict=False) if lines]


def _grid(caption: str, table: Table) -> Grid:
    alignments = ["number" if number else "text" for number in table.numbers()]
    rows = [[Shown(_text(value)) for value in row] for row in table.rows]
    return Grid(caption, list(zip(table.columns, alignments, strict=True)), rows)


def _block(table: Table, row: list[Any]) -> Block:
    named = list(zip(table.columns, row, strict=True))
    lists = [(name, value.value) for name, value in named if isinstance(value.value, list) and value.value]
    names = {name for name, _ in lists}
    return Block(
        [(name, _text(value)) for name, value in named if name not in names and not value.empty and value.text],
        [(name, [shortened(cell(item), LONGEST) for item in items]) for name, items in lists],
    )


def _text(value: Any) -> str:
    """Return the text of a cell; items of a list are separated by commas."""
    text = ", ".join(map(cell, value.value)) if isinstance(value.value, list) and value.value else value.text
    return shortened(text, LONGEST)


def states(caption: str, field: Any) -> Part:
    """Return a mapping as a table: a row for each state with its names, or for each name with its number."""
    heading = title(field).capitalize()
    if field.pairs.ids or field.pairs.counts:
        rows = [[Shown(name), Shown(shown(value))] for name, value in field.value.items()]
        return Part(
            heading,
            caption,
            Grid(caption, [(field.pairs.name, "text"), (field.pairs.value, "text")], rows),
            [],
            [],
        )
    names: dict[str, list[str]] = {}
    for name, state in field.value.items():
        names.setdefault(shown(state), []).append(name)
    rows = [
        [Shown(state, _MARKS.get(state, "ok")), Shown(f"{len(having):,}"), Shown("", names=tuple(having))]
        for state, having in names.items()
    ]
    columns = [(field.pairs.value, "text"), ("number", "number"), (f"{field.pairs.name}s", "text")]
    return Part(heading, caption, Grid(caption, columns, rows), [], [])


def checks(caption: str, facts: CheckFacts) -> Grid:
    """Return what was checked as a table, with what did not pass first."""
    rows = [
        [
            Shown(f"{check.failed:,} not passed", "warning") if check.failed else Shown("passed", "ok"),
            Shown(check.what),
            Shown("-" if check.checked is None else _counted(check.checked, check.unit)),
        ]
        for check in sorted(facts.checks, key=lambda check: not check.failed)
    ]
    return Grid(caption, [("result", "text"), ("what should hold", "text"), ("checked", "number")], rows)


def _counted(number: int, unit: str) -> str:
    one = "index" if unit == "indexes" else unit.removesuffix("s")
    return f"{number:,} {one if number == 1 else unit}"
