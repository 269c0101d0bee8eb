"""--log-format json: whatever a command writes to stderr is one object a line, of the same five keys."""

import json
import re
from typing import Any

import psycopg
import pytest

from aoc_migrate.cli import _failed
from aoc_migrate.database import log
from tests.conftest import Aoc, Database, Ran
from tests.helpers import before_backfill, unread_slot, wait_until
from tests.terminals import on_terminal

JSON = ("--log-format", "json")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def lines(err: str) -> list[Any]:
    """Return the lines of a log, after checking that each has the keys and the kinds of values it should."""
    found = [json.loads(line) for line in err.splitlines()]
    for line in found:
        assert list(line) == ["time", "level", "target", "event", "fields"]
        assert TIME.fullmatch(line["time"])
        assert line["level"] in ("info", "warning", "error")
        assert line["target"] in (None, "concelier", "excititor")
        assert re.fullmatch("[a-z-]+", line["event"])
        assert line["fields"]["message"]
    return found


def last(ran: Ran) -> tuple[str, str, str]:
    """Return level, event and message of the last line of a log."""
    line = lines(ran.err)[-1]
    return line["level"], line["event"], line["fields"]["message"]


def test_an_upgrade(
    request: pytest.FixtureRequest, excititor: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """An upgrade that pauses and is ended by SIGTERM, and the one that goes on, log only objects."""
    before_backfill(excititor, aoc, retrofit, request)
    words = ("--batch-rows", "100", "--max-lag", "1MB", "--deadline", "60s")
    with unread_slot(excititor) as slot:
        process = aoc.start("upgrade", *JSON, *words)
        wait_until(
            lambda: excititor.value("SELECT count(*) FROM aoc_migration_log WHERE progress IS NOT NULL") == 1
        )
        process.terminate()
        _, err = process.communicate(timeout=60)
    resumed = aoc.json("upgrade", AOC_LOG_FORMAT="json")

    ended, events = lines(err), {line["event"] for line in lines(resumed.err)}
    (paused,) = [line["fields"] for line in ended if line["event"] == "waiting"]
    assert (paused["step"], paused["done"], paused["total"], paused["percent"]) == (
        "link rows of vex_raw",
        101,
        400,
        25,
    )
    assert paused["waits_for"].startswith(f"pausing because slot '{slot}' is ")
    assert (ended[-1]["level"], ended[-1]["event"], ended[-1]["target"]) == ("warning", "signal", None)
    assert (ended[-1]["fields"]["signal"], process.returncode) == ("SIGTERM", 143)
    assert (resumed.exit_code, resumed.report["revision"], events) == (0, "excititor_0007", {"step"})


def test_a_lock_wait(excititor: Database, aoc: Aoc) -> None:
    """Failed tries for a lock, and a wait for another runner, are objects with their numbers."""
    aoc.configure(excititor)
    with psycopg.connect(excititor.url) as holder:
        holder.execute("SELECT FROM vex_raw")
        process = aoc.start("upgrade", *JSON, "--deadline", "15s")
        runners = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        wait_until(lambda: excititor.value(runners) == 1)
        second = aoc.json("upgrade", *JSON, "--lock-wait", "1s")
        _, err = process.communicate(timeout=60)

    retries = [line["fields"] for line in lines(err) if line["event"] == "retry"]
    waiting = [line["fields"] for line in lines(second.err) if line["event"] == "waiting"]
    assert (process.returncode, [retry["attempts"] for retry in retries][:2]) == (3, [1, 2])
    assert (second.exit_code, second.slugs(), len(waiting)) == (3, ["lock-held"], 1)
    assert "aoc-migrate upgrade" in waiting[0]["waits_for"]


@pytest.mark.parametrize(
    ("words", "event", "message"),
    [
        ("nope", "usage-error", "No such command 'nope'."),
        ("upgrade --nope", "usage-error", "No such option '--nope'."),
        ("upgrade --max-stall 1", "usage-error", "Invalid value for '--max-stall'"),
        ("status a b", "usage-error", "Unexpected argument 'a'."),
        ("upgrade +1 --max-stall 1h", "error", "--max-stall is longer than --deadline"),
        ("downgrade excititor_9999", "error", "excititor_9999"),
        ("status --output /nonexistent/x", "error", "its folder does not exist"),
        ("explain nope", "usage-error", "nope"),
    ],
)
def test_wrong_usage(words: str, event: str, message: str, excititor: Database, aoc: Aoc) -> None:
    """Wrong usage and refusals are one object, wherever the option is, and where only the variable says so."""
    aoc.configure(excititor)
    name, *rest = words.split()
    calls = [aoc(name, *rest, AOC_LOG_FORMAT="json")]
    if name in ("upgrade", "status", "downgrade"):
        calls += [aoc(name, *JSON, *rest), aoc(name, "--log-format=json", *rest, AOC_LOG_FORMAT="text")]

    for ran in calls:
        assert (ran.exit_code, ran.out, len(lines(ran.err))) == (2, "", 1)
        assert last(ran)[:2] == ("error", event)
        assert message in last(ran)[2]


def test_an_unknown_format_is_refused(aoc: Aoc) -> None:
    """A format that does not exist is wrong usage, in the variable as well."""
    for ran in (aoc("status", "--log-format", "xml"), aoc("status", AOC_LOG_FORMAT="xml")):
        assert ran.exit_code == 2
        assert "'xml' is not one of 'text', 'json'" in ran.err


def test_a_script_that_cannot_be_made(excititor: Database, aoc: Aoc) -> None:
    """A report that stderr gets, because stdout is for a script, becomes an object for each finding."""
    aoc.configure(excititor)
    excititor.run("CREATE TABLE aoc_migration_state (name text)")
    ran = aoc("plan", "--sql", *JSON)

    assert (ran.exit_code, ran.out) == (1, "")
    assert [line["fields"]["slug"] for line in lines(ran.err)] == ["foreign-object"]


def test_a_terminal_has_no_bar(
    request: pytest.FixtureRequest, excititor: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """Objects are written on a terminal too, without a bar."""
    before_backfill(excititor, aoc, retrofit, request)
    words = ("upgrade", "--batch-rows", "100", "--max-lag", "1MB", "--deadline", "2s", *JSON)
    with unread_slot(excititor), on_terminal(aoc, *words) as terminal:
        terminal.end()

    assert (terminal.process.returncode, "\x1b" in terminal.written) == (3, False)
    assert "waiting" in {line["event"] for line in lines(terminal.written)}


def test_an_unforeseen_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The traceback that AOC_DEBUG asks for is a field of the same object."""
    monkeypatch.setattr(log._log, "json", True)
    monkeypatch.setenv("AOC_DEBUG", "1")

    assert _failed(ValueError("planted")) == 4
    (line,) = lines(capsys.readouterr().err)
    assert (line["level"], line["event"]) == ("error", "error")
    assert line["fields"]["message"].startswith("unexpected ValueError; ")
    assert "ValueError: planted" in line["fields"]["traceback"]
