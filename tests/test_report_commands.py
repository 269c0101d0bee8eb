"""Commands in the help of a finding: whole, alone on their lines, and all of them ours."""

import re
import shlex

import pytest

from aoc_migrate.report.commands import split
from aoc_migrate.report.messages import MESSAGES
from aoc_migrate.report.model import Finding, Next, Report
from tests.test_report_text import drawn


def test_a_command_to_paste_is_alone_on_its_line() -> None:
    """However long a command is, it is alone on one line, in what to do next and in the help of a finding."""
    command = "aoc-migrate upgrade concelier " + " ".join(f"--accept 'foreign-code:f{n}(a, b)'" for n in range(9))
    found = Finding("foreign-code", "advisory_raw", "It is so. " * 30, f"Run: {command}. Then read on.")

    lines = drawn(Report("concelier", findings=[found], next=Next(command)))

    assert [line.strip() for line in lines].count(command) == 2
    assert "       Then read on." in lines
    assert max(len(line) for line in lines if command not in line) <= 100


PLACES = {name: "x" for m in MESSAGES.values() for name in re.findall(r"{(\w+)}", m.help)} | {
    "function": " DROP x;",
    "also": "",
    "variable": "X_URL",
}


def letters(text: str) -> str:
    """Return a text without spaces and the punctuation that may follow a command."""
    return re.sub(r"[\s.,;]", "", text)


@pytest.mark.parametrize("slug", MESSAGES)
def test_no_help_breaks_a_command(slug: str) -> None:
    """In the help of every finding, a command that follows a colon is found whole."""
    help_ = MESSAGES[slug].help.format_map(PLACES)
    parts = list(split(help_))

    assert letters("".join(text for text, _ in parts)) == letters(help_)
    for text, is_command in parts:
        assert is_command or not re.search(r": (aoc-migrate|[A-Z]{4,} .*;)", text)
        assert not is_command or re.fullmatch(r"([A-Z_]+=\S+ )?aoc-migrate .*[^.,;]|--.*[^.,;]|[A-Z].*;", text)


@pytest.mark.parametrize(
    "name", ["a; : DROP TABLE x; b", "a' : DROP TABLE x; b", 'a" : DROP TABLE x; "b', "a: aoc-migrate b"]
)
def test_a_name_neither_begins_nor_ends_a_command(name: str) -> None:
    """Whatever a name holds, quoted for SQL or for a shell, the commands in and around a help are found whole."""
    quoted = '"' + name.replace('"', '""') + '"'
    accept, statement = (
        f"--accept {shlex.quote(f'update-trigger:{name}')}",
        f"REVOKE ALL ON public.{quoted} FROM u;",
    )
    command = f"aoc-migrate upgrade excititor {accept}"

    help_ = f"Ask {quoted} for it. Or run: {command}. Or: {statement} Or accept it: {accept}"

    assert [text for text, is_command in split(help_) if is_command] == [command, statement, accept]


def test_sql_to_paste_names_its_schema() -> None:
    """In the SQL of every help, a table of ours is written by a value that has its schema."""
    commands = [text for m in MESSAGES.values() for text, is_command in split(m.help) if is_command]

    assert not [text for text in commands if re.search(r"^[A-Z]+ .*{table}(?!_id_key)", text)]
