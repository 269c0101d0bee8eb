"""--accept SLUG:OBJECT: a finding that may be accepted prints the option that accepts it."""

import re
import shlex
from itertools import pairwise

import pytest

from aoc_migrate.report.accepted import ACCEPTABLE, Accepted
from tests.conftest import Aoc, Database
from tests.helpers import PINNED, psql

SLUGS = ", ".join(ACCEPTABLE)
COMMANDS = ["audit", "upgrade", "verify", "chain", "dedupe", "repair", "downgrade", "constraints"]
WRONG = {
    "touch": "no slug before a colon",
    ":touch": "no slug before a colon",
    "duplicate-key:x": "duplicate-key cannot be accepted",
    "update-triggers:x": "update-triggers cannot be accepted",
    "update-trigger:": "no object after the colon",
    "update-trigger:  ": "no object after the colon",
}
HOSTILE = ["it's", "a:b,c", 'two "words"', "$(id)", "-x", "%s {0}"]


def options(text: str) -> list[str]:
    """Return the options that a text prints, as a shell would hand them over."""
    words = shlex.split(re.sub(r"^.*?(?=--accept)", "", text))
    return [word for pair in pairwise(words) if pair[0] == "--accept" for word in pair]


@pytest.mark.alike
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("given", WRONG)
def test_an_unknown_finding_is_refused(given: str, command: str, concelier: Database, aoc: Aoc) -> None:
    """A value that names no acceptable finding exits 2, says why, and lists those that can be accepted."""
    aoc.configure(concelier)

    ran = aoc(command, "concelier", "--accept", given)

    assert (ran.exit_code, ran.out) == (2, "")
    assert WRONG[given] in " ".join(ran.err.split())
    assert SLUGS in " ".join(ran.err.split())


@pytest.mark.parametrize("command", ["audit", "upgrade", "dedupe", "repair"])
def test_no_command_takes_allow_triggers(command: str, concelier: Database, aoc: Aoc) -> None:
    """No command takes --allow-triggers any more."""
    aoc.configure(concelier)

    assert "No such option '--allow-triggers'" in aoc(command, "concelier", "--allow-triggers", "x").err


@pytest.mark.alike
@pytest.mark.parametrize("slug", SLUGS.split(", "))
def test_accepting_an_absent_finding_changes_nothing(
    slug: str, target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """Accepting a finding that does not occur changes nothing."""
    accepting, plain = aoc.json("audit", "--accept", f"{slug}:nothing", **retrofit), aoc.json("audit", **retrofit)

    assert plain.exit_code == 0
    assert (accepting.exit_code, accepting.report["findings"]) == (0, plain.report["findings"])


def test_the_first_colon_ends_the_slug() -> None:
    """An object may hold colons and commas, and belongs to one finding only."""
    accepted = Accepted.of(["swap-conflict:a:b,c", "move-trigger:x"])

    assert accepted.has("swap-conflict", "a:b,c")
    assert not accepted.has("swap-conflict", "a")
    assert not accepted.has("move-trigger", "a:b,c")
    assert not accepted.has("update-trigger", "x")


@pytest.mark.alike
@pytest.mark.parametrize("name", HOSTILE)
def test_the_printed_option_can_be_pasted(
    name: str, excititor: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """The option that a finding prints can be pasted into a shell, whatever the object is called."""
    for n in range(2):
        excititor.add(f"{n}", retrieved_at=f"2025-01-0{n + 1}T00:00:00Z")
    quoted = name.replace('"', '""')
    excititor.run(
        f"CREATE FUNCTION touch() {PINNED} "
        "'BEGIN RETURN NEW; END'; "
        f'CREATE TRIGGER "{quoted}" BEFORE UPDATE ON vex_raw FOR EACH ROW EXECUTE FUNCTION touch()'
    )
    aoc.configure(excititor)
    refused = aoc.json("upgrade", **retrofit)
    assert refused.slugs("error") == ["update-trigger"]
    printed = options(refused.finding("update-trigger")["help"])

    assert printed == ["--accept", f"update-trigger:{name}"]
    assert aoc("upgrade", *printed, **retrofit).exit_code == 0


@pytest.mark.parametrize("given", ["touch", "update-trigger:", "duplicate-key:x", "update-trigger:x,"])
def test_a_script_refuses_an_unknown_finding(given: str, excititor: Database, aoc: Aoc) -> None:
    """A psql script refuses a value that names no acceptable finding, and changes nothing."""
    aoc.configure(excititor)
    printed = aoc("plan", "excititor", "--sql").out

    ran = psql(excititor, printed, "-v", f"accept={given}")

    assert ran.exit_code == 3
    assert "update-trigger" in ran.err
    assert "swap-conflict" in ran.err
    assert excititor.value("SELECT to_regclass('aoc_migration_state')") is None


@pytest.mark.parametrize("name", ["it's", "a:b", 'two "words"', "$(id)"])
def test_the_variable_that_a_script_prints_can_be_pasted(name: str, excititor: Database, aoc: Aoc) -> None:
    """The variable that a script prints can be pasted into a shell, whatever the object is called."""
    for n in range(2):
        excititor.add(f"{n}", retrieved_at=f"2025-01-0{n + 1}T00:00:00Z")
    quoted = name.replace('"', '""')
    excititor.run(
        f"CREATE FUNCTION touch() {PINNED} "
        "'BEGIN RETURN NEW; END'; "
        f'CREATE TRIGGER "{quoted}" BEFORE UPDATE ON vex_raw FOR EACH ROW EXECUTE FUNCTION touch()'
    )
    aoc.configure(excititor)
    printed, retrofit = aoc("plan", "excititor", "--sql").out, ("-v", "retrofit=1")
    refused = psql(excititor, printed, *retrofit)
    (variable,) = re.findall(r"(?m)accept it with (-v .*)$", refused.err)

    assert refused.exit_code == 3
    assert shlex.split(variable) == ["-v", f"accept=update-trigger:{name}"]
    assert psql(excititor, printed, *retrofit, *shlex.split(variable)).exit_code == 0
