"""The bar on a terminal: one line that rewrites itself below the log, and disappears at the end of its step."""

from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from aoc_migrate.report.facts.running import Running
from aoc_migrate.report.formatting import plain

WIDTH = 20  # columns of the bar itself


class _Terminal(Console):
    """A console that never hides the cursor, so that no end of the process can leave it hidden."""

    def show_cursor(self, show: bool = True) -> bool:
        """Leave the cursor visible."""
        return False


class Bar:
    """A bar on ``file``, which is a terminal."""

    def __init__(self, file: TextIO) -> None:
        self.console = _Terminal(file=file, markup=False, emoji=False, highlight=False)
        self.live = Live(
            console=self.console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def draw(self, running: Running) -> None:
        """Draw the line, or draw it again."""
        self.live.start()
        self.live.update(_line(running, self.console.width), refresh=True)

    def above(self, line: str) -> None:
        """Print a line of log above the bar."""
        self.console.print(Text(line), soft_wrap=True)

    def stop(self) -> None:
        """Erase the bar."""
        self.live.stop()


def _line(running: Running, width: int) -> Table:
    """Return one line of at most ``width`` columns; what is too long is cut."""
    step, state = Text(plain(running.step)), Text(plain(running.brief))
    widths = [min(step.cell_len, width // 3), min(WIDTH, width // 8)]
    line = Table.grid(padding=(0, 1), pad_edge=False)
    for each in (*widths, max(1, width - sum(widths) - 2)):
        line.add_column(no_wrap=True, overflow="ellipsis", width=each)
    line.add_row(step, ProgressBar(running.total or 100, running.done or 0, pulse=running.total is None), state)
    return line
