"""What text reports are drawn on: prose is wrapped, commands are not, tables fit.

Values reach rich as Text, never as markup.
"""

import re
import textwrap
from collections.abc import Sequence
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

PROSE = 100  # columns; longer lines are hard to read
COMMAND = "bold cyan"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")  # never shortened
WRAPPED_LINES = 2  # of a cell


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

    def prose(self, text: str, indent: int, first: str = "") -> None:
        """Draw a paragraph, whose first line begins with ``first`` at the same indentation."""
        margin = " " * (indent + len(first))
        wrapped = textwrap.wrap(
            plain(text), min(self.width, PROSE), initial_indent=" " * indent + first, subsequent_indent=margin
        )
        for line in wrapped:
            self._console.print(Text(line), soft_wrap=True)

    def named(self, pairs: Sequence[tuple[str, str]], indent: int) -> None:
        """Draw names and values in two columns."""
        grid = self._grid()
        room = self.width - indent - GAP - max((cell_len(name) for name, _ in pairs), default=0)
        for name, value in pairs:
            grid.add_row(Text(name, no_wrap=True), self._value(value, room))
        self._print(grid, indent)

    def table(self, table: Table, indent: int, most: int | None = None, *, header: bool = True) -> None:
        """Draw a table without its empty columns, and without those after its first ``most`` rows.

        Where it cannot fit, each row is drawn as names and values.
        """
        rows = table.rows if self.whole or most is None else table.rows[:most]
        hidden = () if self.whole else table.hidden
        shown = [n for n in range(len(table.columns)) if n not in hidden]
        used = [n for n in shown if any(row[n].text != "-" for row in rows)]
        names = [table.columns[n] for n in used]
        columns = [[self._text(row[n]) for row in rows] for n in used]
        texts = [[value + more for value, more in column] for column in columns]
        numbers = [table.numbers()[n] for n in used]
        fixed = [
            number or all(map(_TIME.fullmatch, values)) for number, values in zip(numbers, texts, strict=True)
        ]
        widths = column_widths(names if header else [""] * len(used), texts, fixed, self.width - indent)
        if widths is None:
            for values in zip(*texts, strict=True):
                self.named([pair for pair in zip(names, values, strict=True) if pair[1] != "-"], indent)
                self.line("")
            return
        grid = self._grid(header=header)
        for name, number, width in zip(names, numbers, widths, strict=True):
            grid.add_column(Text(name), justify="right" if number else "left", overflow="fold", width=width)
        for values in zip(*map(self._fitted, columns, widths), strict=True):
            grid.add_row(*map(Text, values))
        self._print(grid, indent)

    def _fitted(self, column: list[tuple[str, str]], width: int) -> list[str]:
        """Return the values of a column, each with what follows it: ids are shortened, words get a second line."""
        if self.whole:
            return [value + more for value, more in column]
        room = width - max((len(more) for _, more in column), default=0)
        ids = [value for value, _ in column if " " not in value]
        short = dict(zip(ids, shortened(ids, room), strict=True))
        return [short[value] + more if value in short else _wrapped(value, room) for value, more in column]

    def _value(self, value: str, room: int) -> Text:
        return Text(self._fitted([(value, "")], room)[0], overflow="fold")

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
    lines = textwrap.wrap(text, width, max_lines=WRAPPED_LINES, placeholder=f" {ELLIPSIS}", break_on_hyphens=False)
    return "\n".join(lines)
