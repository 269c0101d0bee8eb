"""What text reports are drawn on: prose is wrapped, commands are not, tables fit.

Values reach rich as Text, never as markup.
"""

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import StringIO

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from aoc_migrate.report.fitting import ELLIPSIS, GAP, column_widths, shortened
from aoc_migrate.report.formatting import plain
from aoc_migrate.report.look import Look, Verbosity
from aoc_migrate.report.tables import Cell, Table
from aoc_migrate.report.verdict import wrapped

COMMAND = "bold cyan"
_SIGNS = {"+": "bold green", "~": "bold yellow", "-": "bold red"}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")  # never shortened
WRAPPED_LINES = 2  # of a cell


@dataclass(frozen=True)
class _Column:
    """A column: its place in the table, its name, its texts, each with what follows it, and whether of numbers."""

    place: int
    name: str
    texts: list[tuple[str, str]]
    number: bool

    @property
    def values(self) -> list[str]:
        return [value + more for value, more in self.texts]

    @property
    def widest(self) -> int:
        return max(map(cell_len, [self.name, *self.values]))

    @property
    def signs(self) -> bool:
        """Whether it says what is made, changed and dropped."""
        return {*self.values} <= {*_SIGNS} and {*self.values} != {"-"}

    @property
    def fixed(self) -> bool:
        return self.number or all(map(_TIME.fullmatch, self.values))


class Screen:
    """Lines of a report, drawn as ``look`` says."""

    def __init__(self, look: Look) -> None:
        self.whole = look.verbosity == Verbosity.VERBOSE
        self.width = look.width
        self._written = StringIO()
        self._console = Console(
            file=self._written,
            width=look.width,
            color_system="standard" if look.color else None,
            force_terminal=look.color,
            legacy_windows=False,
            markup=False,
            emoji=False,
            highlight=False,
            _environ={},
        )

    def lines(self) -> list[str]:
        """Return what was drawn."""
        return [line.rstrip() for line in self._written.getvalue().split("\n")[:-1]]

    def line(self, text: str, indent: int = 0, style: str = "", rest: str = "") -> None:
        """Draw one line that is never broken: ``text`` in a style, then the ``rest`` of the line."""
        drawn = Text(" " * indent).append(text, style).append(rest)
        self._console.print(drawn, soft_wrap=True)

    def prose(self, text: str, indent: int, first: str = "", style: str = "") -> None:
        """Draw a paragraph, whose first line begins with ``first`` at the same indentation."""
        for line in wrapped(plain(text), self.width, " " * indent + first):
            self._console.print(Text(line, style), soft_wrap=True)

    def named(self, pairs: Sequence[tuple[str, str]], indent: int) -> None:
        """Draw names and values in two columns."""
        grid = self._grid()
        room = self.width - indent - GAP - max((cell_len(name) for name, _ in pairs), default=0)
        for name, value in pairs:
            grid.add_row(Text(name, no_wrap=True), self._value(value, room))
        self._print(grid, indent)

    def table(self, table: Table, indent: int, most: int | None = None, *, header: bool = True) -> None:
        """Draw a table without its empty columns, and without the rows after the first ``most``.

        Where it cannot fit, each row is drawn as names and values. Rows with lines below them are not drawn whole.
        """
        whole = self.whole and not any(table.lines)
        rows = table.rows if whole or most is None else table.rows[:most]
        room, columns = self.width - indent, [*self._columns(table, rows, header=header)]
        if not whole and sum(column.widest + GAP for column in columns) > room + GAP:
            columns = [column for column in columns if column.place not in table.hidden]
        names, numbers = [column.name for column in columns], [column.number for column in columns]
        values = [column.values for column in columns]
        widths = column_widths(names, values, [column.fixed for column in columns], room)
        if widths is None:
            for row, texts in zip(rows, zip(*values, strict=True), strict=True):
                pairs = zip(columns, texts, strict=True)
                self.named([(table.columns[c.place], text) for c, text in pairs if not row[c.place].empty], indent)
                self.line("")
            return
        grid = self._grid(header=header)
        for name, number, width in zip(names, numbers, widths, strict=True):
            grid.add_column(Text(name), justify="right" if number else "left", overflow="fold", width=width)
        drawn = (self._fitted(column.texts, width) for column, width in zip(columns, widths, strict=True))
        styles = [_SIGNS if column.signs else {} for column in columns]
        for texts in zip(*drawn, strict=True):
            grid.add_row(*(Text(text, style.get(text, "")) for text, style in zip(texts, styles, strict=True)))
        self._print(grid, indent)

    def _columns(self, table: Table, rows: list[list[Cell]], *, header: bool) -> Iterator[_Column]:
        """Yield the columns that are not empty. One of signs needs no name."""
        for place, (name, number) in enumerate(zip(table.columns, table.numbers(), strict=True)):
            if any(not row[place].empty for row in rows):
                texts = [self._text(row[place]) for row in rows]
                column = _Column(place, name if header else "", texts, number)
                yield replace(column, name="") if column.signs else column

    def _fitted(self, column: list[tuple[str, str]], width: int) -> list[str]:
        """Return the values of a column, each with what follows it: ids are shortened, words get a second line."""
        if self.whole:
            return [value + more for value, more in column]
        room = width - max((len(more) for _, more in column), default=0)
        ids = [value for value, _ in column if " " not in value]
        short = dict(zip(ids, shortened(ids, room), strict=True))
        return [short[value] + more if value in short else _wrapped(value, room) for value, more in column]

    def _value(self, value: str, room: int) -> Text:
        return Text(value if self.whole or " " in value else shortened([value], room)[0], overflow="fold")

    def _text(self, cell: Cell) -> tuple[str, str]:
        """Return the text of a cell; of a list, the first value, and how many there are more."""
        if not isinstance(cell.value, list | tuple) or not cell.value:
            return cell.text, ""
        values = list(map(plain, cell.value))
        if self.whole or len(values) == 1:
            return ", ".join(values), ""
        return values[0], f" +{len(values) - 1:,}"

    def _grid(self, *, header: bool = False) -> Grid:
        return Grid(box=None, padding=(0, GAP, 0, 0), pad_edge=False, show_header=header, header_style="bold")

    def _print(self, drawn: RenderableType, indent: int) -> None:
        self._console.print(Padding(drawn, (0, 0, 0, indent), expand=False))


def _wrapped(text: str, width: int) -> str:
    """Return words on two lines at most; a word that is wider is shortened."""
    text = " ".join(shortened([word], width)[0] for word in text.split(" "))
    lines = textwrap.wrap(text, width, max_lines=WRAPPED_LINES, placeholder=f" {ELLIPSIS}", break_on_hyphens=False)
    return "\n".join(lines)
