"""`explain`, and the completion of a shell: both help without a database."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from aoc_migrate.quarantine.repair_rules import RULES
from aoc_migrate.report.accepted import ACCEPTABLE
from aoc_migrate.report.messages import MESSAGES
from tests.conftest import Aoc, Database

PROGRAMS = Path(sys.executable).parent


def test_every_finding_is_explained(aoc: Aoc) -> None:
    """Without SLUG all findings are listed, and the explanation of each is its section of the page."""
    listed, explained = aoc("explain"), aoc.json("explain")

    found = {each["slug"]: each for each in explained.json}
    assert (listed.exit_code, explained.exit_code) == (0, 0)
    assert set(found) == set(MESSAGES) == {line.split()[0] for line in listed.out.splitlines() if line[:2] == "  "}
    assert all(len(each["text"]) > 40 and "](" not in each["text"] for each in found.values())
    assert {slug: each["severity"] for slug, each in found.items()} == {s: m.severity for s, m in MESSAGES.items()}
    assert {each["severity"] for each in found.values()} == {"error", "warning", "info"}


def test_a_finding_is_explained_with_its_sql(aoc: Aoc) -> None:
    """The explanation of one finding says how severe it is, and has the SQL that finds the rows."""
    ran = aoc("explain", "duplicate-key")

    assert ran.exit_code == 0
    assert ran.out.startswith("duplicate-key (error, ERR_AOC_003, exit code 1)\n\n")
    assert "HAVING count(*) > 1" in ran.out
    assert json.loads(aoc.json("explain", "duplicate-key").out)[0]["group"] == "Before: rows"


@pytest.mark.parametrize(
    ("slug", "answer"), [("duplicat-key", "Did you mean duplicate-key"), ("x", "To list them:")]
)
def test_an_unknown_finding_has_no_explanation(slug: str, answer: str, aoc: Aoc) -> None:
    """An unknown slug exits 2 and says which it may stand for."""
    ran = aoc("explain", slug)

    assert (ran.exit_code, ran.out, answer in ran.err) == (2, "", True)


def test_a_report_names_its_explanation(concelier: Database, aoc: Aoc) -> None:
    """A report with findings names the command that explains the worst of them."""
    concelier.add("bad", tenant=None)
    aoc.configure(concelier)

    assert "\n  to explain a finding:\n    aoc-migrate explain missing-required\n" in aoc("audit").out


def test_help_groups_the_options(aoc: Aoc) -> None:
    """The help of a command has its own options first, then those of locks, output and connection."""
    titles = re.findall(r"^(\w[\w ]*):$", aoc("upgrade", "--help").out, re.MULTILINE)

    assert titles == ["Options", "Locks and pace", "Output", "Connection"]


def completed(line: str) -> list[str]:
    """Return what bash completes a line to, with the function that we print."""
    return _completion(line).stdout.split()


def _completion(line: str) -> subprocess.CompletedProcess[str]:
    script = f"""
      source <(_AOC_MIGRATE_COMPLETE=bash_source aoc-migrate)
      COMP_WORDS=({line}{" ''" if line.endswith(" ") else ""}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
      _aoc_migrate_completion aoc-migrate; printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    environment = {"PATH": f"{PROGRAMS}:/usr/bin:/bin", "HOME": "/"}
    return subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=60
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("aoc-migrate up", ["upgrade"]),
        ("aoc-migrate audit ", ["concelier", "excititor"]),
        ("aoc-migrate upgrade concelier concelier_000", [f"concelier_{n:04}" for n in range(1, 9)]),
        ("aoc-migrate downgrade excititor b", ["base"]),
        ("aoc-migrate upgrade --accept ", [f"{slug}:" for slug in ACCEPTABLE]),
        ("aoc-migrate repair --rule ", [*RULES, "all"]),
        ("aoc-migrate explain chain-", ["chain-broken", "chain-late"]),
    ],
)
def test_bash_completes(line: str, words: list[str]) -> None:
    """bash completes commands, targets, revisions, slugs and rules."""
    assert completed(line) == words


@pytest.mark.parametrize("word", ["upgrad", "current", "--tiket"])
def test_a_wrong_word_disturbs_no_prompt(word: str) -> None:
    """What is typed wrong is said when the line is run, and not while the shell completes it."""
    assert _completion(f"aoc-migrate {word} ").stderr == ""


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_script(shell: str, aoc: Aoc) -> None:
    """The script of each other shell is printed too."""
    ran = aoc(_AOC_MIGRATE_COMPLETE=f"{shell}_source")

    assert ran.exit_code == 0
    assert "aoc-migrate" in ran.out
