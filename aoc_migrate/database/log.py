"""The log on stderr: lines of text or JSON, and a bar on a terminal. No line ends the work; some may be lost."""

import json
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aoc_migrate.report.fields import data
from aoc_migrate.report.formatting import plain

if TYPE_CHECKING:
    from aoc_migrate.report.bar import Bar
    from aoc_migrate.report.facts.running import Running

logging.getLogger("psycopg").addHandler(logging.NullHandler())  # otherwise Python prints what it warns of

SECONDS_BETWEEN_LINES = 5.0  # of progress
SECONDS_BETWEEN_FRAMES = 0.5  # of the bar
_LOST = (OSError, ValueError, RuntimeError)  # closed, full, or interrupted by a signal in the middle of a line
_DUMB = ("", "dumb", "unknown")


@dataclass
class _Log:
    """How the log is written. ``shown``: the steps that run now, each inside the one before it."""

    json: bool = False
    terminal: bool | None = None  # None: find out
    bar: "Bar | None" = None
    shown: list[tuple[str, Callable[[], "Running"]]] = field(default_factory=list)
    latest: float = -math.inf  # when the latest line on a running step was written

    def is_terminal(self) -> bool:
        """Return whether the log is text on a terminal whose cursor can be moved."""
        if self.json:
            return False
        if self.terminal is not None:
            return self.terminal
        with suppress(*_LOST):
            return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM", "") not in _DUMB
        return False


_log = _Log()


def configure(format_: str, terminal: bool | None = None) -> None:
    """Write the log as ``text`` or ``json``; as text, with a bar if stderr is a ``terminal`` (None: find out)."""
    _log.json, _log.terminal = format_ == "json", terminal


def is_json() -> bool:
    """Return whether each line of the log is a JSON object."""
    return _log.json


def say(message: str, target: str, *, event: str = "note", level: str = "info", **fields: Any) -> None:
    """Write one line of log on ``target``, with control characters escaped; stdout belongs to the report.

    ``event`` is a short fixed name; ``level``: info, warning or error; ``fields``: the values in the message. On a
    terminal, the beginning of a step is not written, because the bar shows it.
    """
    if _log.json:
        _write_object(level, target, event, {"message": message, **fields})
    elif event != "step" or not _log.is_terminal():
        _write(f"{target}: {message}", "" if _log.is_terminal() else f"{_now()} ")


def sentence(message: str, *, event: str = "error", level: str = "error", **fields: Any) -> None:
    """Write what the command says about itself, such as why it ends."""
    if _log.json:
        _write_object(level, None, event, {"message": message, **fields})
    else:
        _write(f"aoc-migrate: {message}")


def say_running(target: str, running: "Running") -> None:
    """Write one line on a running step, unless the last one is too recent."""
    now = time.monotonic()
    if now - _log.latest >= SECONDS_BETWEEN_LINES:
        _log.latest = now
        event = "waiting" if running.waits_for else "progress"
        say(f"{running.step}: {running.state}", target, event=event, **data(running))


@contextmanager
def showing(target: str, now: Callable[[], "Running"]) -> Iterator[None]:
    """Show the state that ``now`` returns while the block runs: as a bar, or as a line every few seconds.

    Of steps inside each other, the innermost is shown.
    """
    _log.shown.append((target, now))
    ended = threading.Event()
    reporter = threading.Thread(target=_report, args=[ended], daemon=True) if len(_log.shown) == 1 else None
    if reporter:
        _log.latest = -math.inf
        reporter.start()
    try:
        yield
    finally:
        _log.shown.pop()
        ended.set()
        if reporter:
            reporter.join()


def _report(ended: threading.Event) -> None:
    """Report the innermost running step until the outermost has ended."""
    if _log.is_terminal():
        _draw(ended)
        return
    begun = time.monotonic()
    while not ended.wait(min(1.0, SECONDS_BETWEEN_LINES)):
        if time.monotonic() - begun >= SECONDS_BETWEEN_LINES:
            for target, now in _log.shown[-1:]:
                say_running(target, now())


def _draw(ended: threading.Event) -> None:
    """Draw the bar; most steps end before its first frame, which loads rich."""
    if ended.wait(SECONDS_BETWEEN_FRAMES):
        return
    from aoc_migrate.report.bar import Bar

    with suppress(*_LOST):
        _log.bar = Bar(sys.stderr)
        try:
            while True:
                for _, now in _log.shown[-1:]:
                    _log.bar.draw(now())
                if ended.wait(SECONDS_BETWEEN_FRAMES):
                    break
        finally:
            bar, _log.bar = _log.bar, None
            bar.stop()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _write_object(level: str, target: str | None, event: str, fields: dict[str, Any]) -> None:
    line = {"time": _now(), "level": level, "target": target, "event": event, "fields": fields}
    with suppress(*_LOST):
        _put(json.dumps(line, default=str))  # ASCII, so it has no control character


def _write(line: str, stamp: str = "") -> None:
    bar = _log.bar
    with suppress(*_LOST):
        if bar:
            bar.above(plain(line))
        else:
            _put(stamp + plain(line))


def _put(line: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
