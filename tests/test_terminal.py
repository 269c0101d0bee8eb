"""What people see on a real terminal: colors where they are wanted, and reports that fit one screen."""

import re
from pathlib import Path

import pytest

from tests.conftest import Aoc, Database
from tests.screens import on_screen
from tests.test_real_documents import load

RED = "\x1b[1;31mERROR\x1b[0m"


@pytest.fixture
def dirty(excititor: Database, aoc: Aoc) -> Database:
    """A table with a row that breaks a rule."""
    excititor.add("bad", tenant=None)
    aoc.configure(excititor)
    return excititor


@pytest.mark.parametrize(
    ("words", "variables", "colored"),
    [
        ((), {}, True),
        ((), {"NO_COLOR": "1"}, False),
        ((), {"NO_COLOR": ""}, True),
        ((), {"TERM": "dumb"}, False),
        (("--color", "never"), {}, False),
        (("--color", "always"), {"NO_COLOR": "1", "TERM": "dumb"}, True),
    ],
)
def test_a_terminal_has_colors_unless_it_should_not(
    words: tuple[str, ...], variables: dict[str, str], colored: bool, dirty: Database, aoc: Aoc
) -> None:
    """A terminal shows the words of severity and verdict in color, unless NO_COLOR, TERM or --color say no."""
    ran = on_screen("audit", *words, environment=aoc.environment | variables)

    assert ran.exit_code == 1
    assert (RED in ran.out, "\x1b[1;33mFINDINGS\x1b[0m audit" in ran.out) == (colored, colored)
    assert ("\x1b" in ran.out) == colored


def test_a_pipe_has_colors_only_on_demand(dirty: Database, aoc: Aoc, tmp_path: Path) -> None:
    """Neither a pipe nor a file gets colors, unless --color always asks for them."""
    file = tmp_path / "report.txt"

    assert "\x1b" not in aoc("audit").out
    assert RED in aoc("audit", "--color", "always").out
    on_screen("audit", "--output", str(file), environment=aoc.environment)
    assert "\x1b" not in file.read_text(encoding="utf-8")


def test_the_color_of_a_brief_report_needs_no_library(excititor: Database, aoc: Aoc) -> None:
    """A report without findings has the color of its verdict, too."""
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0

    ran = on_screen("upgrade", environment=aoc.environment)

    assert ran.out.splitlines()[0].startswith("\x1b[1;32mPASSED\x1b[0m upgrade excititor: nothing changed")


@pytest.mark.parametrize("text", ["a\x1b[31mb", "a\u202eb", "[red]a[/red]", "a\tb"])
def test_stored_text_cannot_act_on_the_terminal(text: str, excititor: Database, aoc: Aoc) -> None:
    """Control and bidirectional characters of an id are escaped, and markup is text."""
    excititor.add(text, tenant=None)
    aoc.configure(excititor)

    ran = on_screen("audit", environment=aoc.environment)

    shown = text if text.isprintable() else text.encode("unicode_escape").decode()
    assert shown in ran.out
    assert text not in ran.out.replace(shown, "")


def test_quiet_and_verbose_exclude_each_other(dirty: Database, aoc: Aoc) -> None:
    """--quiet with --verbose is refused; --quiet alone shows one line."""
    assert (
        aoc("audit", "-q").out
        == "FINDINGS audit excititor: 2 errors; nothing changed; base (head excititor_0007)\n"
    )
    refused = aoc("audit", "-q", "-v")

    assert (refused.exit_code, refused.out) == (2, "")
    assert "Choose one." in refused.err


def widest(shown: str) -> int:
    """Return the width of the widest line that has no command; each frame of a bar is a line."""
    lines = re.sub(r"\r|\x1b\[[0-9;?]*[A-Za-z]", "\n", re.sub(r"\x1b\[[0-9;]*m", "", shown)).splitlines()
    return max(len(line) for line in lines if "aoc-migrate " not in line)


@pytest.mark.alike
@pytest.mark.parametrize("target", ["concelier", "excititor"])
def test_real_documents_fit_one_screen(
    target: str, request: pytest.FixtureRequest, aoc: Aoc, retrofit: dict[str, str], real_documents: Path
) -> None:
    """On 40 lines of 80 columns, the reports about the real documents fit, before and after the upgrade."""
    database = request.getfixturevalue(target)
    load(database, real_documents)
    aoc.configure(database)
    environment = aoc.environment | retrofit

    before = {name: on_screen(name, environment=environment) for name in ("audit", "repair", "dedupe", "plan")}
    for words in (("repair", "--rule", "all"), ("dedupe",)):
        assert aoc(*words, "--apply").exit_code == 0
    assert aoc("upgrade", **retrofit).exit_code == 0
    after = {name: on_screen(name, environment=aoc.environment) for name in ("verify", "status", "history")}

    for name, ran in (before | after).items():
        lines = ran.out.count("\n") - ran.out.count("\x1b[1A")  # the bar rewrites its line
        assert lines < 40, f"{name}: {ran.out}"
        assert widest(ran.out) <= 80, name
