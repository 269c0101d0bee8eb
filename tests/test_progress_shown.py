"""How a long step shows its progress: a bar on a terminal, lines with a time stamp elsewhere."""

import io
import json
import re
import signal
from contextlib import ExitStack
from time import sleep

import pytest

from aoc_migrate.database.progress import Progress
from aoc_migrate.database.session import Session
from aoc_migrate.database.targets import Target
from aoc_migrate.report.bar import Bar
from aoc_migrate.report.facts.running import Running
from tests.conftest import Aoc, Database
from tests.helpers import before_backfill, unread_slot, wait_until, wrong_links
from tests.terminals import COLUMNS, on_terminal

BACKFILL = ("upgrade", "excititor_0006", "--batch-rows", "100", "--max-lag", "1MB", "--deadline", "60s")
PAUSED = "link rows of vex_raw: 101 of about 400 rows (25 %), pausing because slot 'unread_"
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ excititor: .+")
FRAME = re.compile(r"\r\x1b\[2K([^\r\n]*)")
COLOR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def paused(request: pytest.FixtureRequest, excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> ExitStack:
    """An excititor whose backfill pauses after its first batch, until the block of what this returns ends."""
    before_backfill(excititor, aoc, retrofit, request)
    stack = ExitStack()
    stack.enter_context(unread_slot(excititor))
    return stack


def test_a_terminal_has_a_bar(excititor: Database, aoc: Aoc, paused: ExitStack) -> None:
    """On a terminal a bar rewrites itself below the log and disappears; stdout has only the report."""
    with paused, on_terminal(aoc, *BACKFILL, "--format", "json") as terminal:
        wait_until(lambda: len(FRAME.findall(terminal.written)) > 2)
        frames = [COLOR.sub("", frame) for frame in FRAME.findall(terminal.written)]
        paused.close()
        report = json.loads(terminal.end())

    assert (terminal.process.returncode, report["exit_code"], wrong_links(excititor)) == (0, 0, 0)
    assert all(
        re.match(r"link rows of vex_raw [━╸╺]+ 25 %, pausing because slot", frame) for frame in frames[:2]
    ), frames
    assert max(map(len, frames)) <= COLUMNS
    assert f"excititor: {PAUSED}" in terminal.written
    assert terminal.written.endswith("\x1b[2K") or terminal.written.endswith("…\r\n"), terminal.written[-200:]
    assert "?25l" not in terminal.written  # the cursor is never hidden


@pytest.mark.alike
@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_the_bar_has_no_color_where_none_is_wanted(variable: str, value: str, aoc: Aoc, paused: ExitStack) -> None:
    """With NO_COLOR the bar has no color; a dumb terminal has lines with a time stamp, and no bar."""
    with paused, on_terminal(aoc, *BACKFILL, **{variable: value}) as terminal:
        wait_until(lambda: PAUSED in terminal.written)
        if variable == "NO_COLOR":
            wait_until(lambda: len(FRAME.findall(terminal.written)) > 2)
        paused.close()
        terminal.end()

    assert COLOR.findall(terminal.written) == []
    if variable == "TERM":
        assert "\x1b" not in terminal.written
        assert all(map(LINE.fullmatch, terminal.written.splitlines())), terminal.written


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_the_terminal_in_order(number: int, code: int, aoc: Aoc, paused: ExitStack) -> None:
    """A signal erases the bar; the last line says what ended the run."""
    with paused, on_terminal(aoc, *BACKFILL) as terminal:
        wait_until(lambda: len(FRAME.findall(terminal.written)) > 2)
        terminal.process.send_signal(number)
        terminal.end()

    _, _, last = terminal.written.rpartition("aoc-migrate: ended by ")
    assert terminal.process.returncode == code
    assert last.startswith(f"{signal.Signals(number).name}; run the same command again to resume")
    assert last.endswith("\x1b[2K")


def test_a_terminal_that_disappears_ends_nothing(excititor: Database, aoc: Aoc, paused: ExitStack) -> None:
    """When the terminal disappears under the bar, the work goes on to its end."""
    with paused, on_terminal(aoc, *BACKFILL) as terminal:
        wait_until(lambda: bool(FRAME.findall(terminal.written)))
        terminal.close()
        paused.close()
        terminal.end()

    assert (terminal.process.returncode, wrong_links(excititor)) == (0, 0)


def test_a_pipe_has_stamped_lines(aoc: Aoc, paused: ExitStack) -> None:
    """Without a terminal each line of log has a time stamp in UTC; a pause says why, and how far the step is."""
    with paused:
        process = aoc.start(*BACKFILL[:-1], "15s")
        _, err = process.communicate(timeout=60)

    lines = err.splitlines()
    paused_lines = [line for line in lines if PAUSED in line]
    assert (process.returncode, "\x1b" in err) == (3, False)
    assert all(map(LINE.fullmatch, lines)), err
    assert [line.endswith("s so far") for line in paused_lines[:2]] == [False, True]


def test_the_bar_shows_text_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Markup stays text, control and bidi characters are escaped, and what is too long is cut to one line."""
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    written = io.StringIO()
    monkeypatch.setattr(written, "isatty", lambda: True)
    bar = Bar(written)
    bar.draw(Running("[bold]x[/]\x1b[31m\u202e", 1.0, waits_for="waiting for \x07[red]" + "y" * 100))
    bar.above("[blink]z[/]")
    bar.stop()

    text = COLOR.sub("", written.getvalue())
    assert "[bold]x[/]\\x1b[31m\\u202e" in text
    assert "waiting for \\x07[red]yyy" in text
    assert "[blink]z[/]\n" in text
    assert "\u202e" not in text
    assert max(len(COLOR.sub("", frame)) for frame in FRAME.findall(written.getvalue())) <= COLUMNS


@pytest.mark.parametrize(
    ("running", "state", "brief"),
    [
        (
            Running("x", 9.0, done=0, unit="rows", per_second=12_300.4).at(45_000, 100_000),
            "45,000 of 100,000 rows (45 %), 12,300 rows/s, 4 s left",
            "45 %, 4 s left, 45,000 of 100,000 rows, 12,300 rows/s",
        ),
        (
            Running("x", 9.0, unit="rows", waits_for="waiting for pid 1", waited_seconds=70.0).at(1, 2),
            "1 of 2 rows (50 %), waiting for pid 1, 1 min 10 s so far",
            "50 %, waiting for pid 1",
        ),
        (
            Running("x", 9.0, "building index", unit="blocks", approximate=True).at(3, 2),
            "building index, 3 blocks",
            "building index, 3 blocks",
        ),
        (
            Running("x", 12.4, estimated_ms=40_000.0),
            "12 s of about 40 s (estimate)",
            "12 s of about 40 s (estimate)",
        ),
        (Running("x", 12.4, estimated_ms=40_000.0, waits_for="w"), "12 s of about 40 s (estimate), w", None),
        (Running("x"), "starting", "starting"),
    ],
)
def test_a_running_step_has_one_text_form(running: Running, state: str, brief: str | None) -> None:
    """What is done, the rate and the time left; or the time with its estimate; what is not known is left out."""
    assert running.state == state
    assert running.brief == brief or brief is None


def test_what_another_backend_has_done_is_followed(excititor: Database) -> None:
    """What is done and its rate count from the beginning of a phase, or of another unit."""
    progress = Progress(Session(Target("excititor", "", "public"), excititor.connection, "test"), "x")
    progress.follow("blocks", 100, 10, "building")
    sleep(0.2)
    progress.follow("blocks", 100, 30, "building")
    here = progress.now()
    progress.follow("blocks", 100, 40, "validating")
    next_phase = progress.now()
    progress.follow("rows", 1000, 40, "validating")
    next_unit = progress.now()

    assert (here.doing, here.done, here.total, here.per_second is not None) == ("building", 30, 100, True)
    assert (next_phase.doing, next_phase.done, next_phase.per_second) == ("validating", 40, None)
    assert (next_unit.unit, next_unit.total, next_unit.per_second) == ("rows", 1000, None)
