"""A psql script that dies between any two statements: run again, it ends as if never disturbed."""

import re
import subprocess

import pytest

from aoc_migrate.sandbox.server import find_binaries
from tests.conftest import Aoc
from tests.faults.lab import Lab
from tests.faults.outcome import differences, outcome
from tests.faults.scenarios import Scenario

UP = Scenario("concelier", (), "upgrade head", rows=600)
DOWN = Scenario("concelier", ("upgrade head",), "downgrade base", rows=600)
PARTS = 3
_STATEMENT = re.compile(
    r"^(?:(?:CREATE|ALTER|INSERT|UPDATE|DELETE|DROP)\b.*?;\n"
    r"|DO \$(\w+)\$ *\n.*?^END \$\1\$;\n"
    r"|SELECT '.*?\\gexec\n)",
    re.DOTALL | re.MULTILINE,
)


def text(scenario: Scenario) -> str:
    """Return the script of a scenario."""
    words = "base:head" if scenario is UP else "head:base"
    return Aoc()("plan", scenario.target, words, "--sql").out


def ends(script: str) -> list[int]:
    """Return where each statement that changes something ends."""
    return [found.end() for found in _STATEMENT.finditer(script)]


def run(lab: Lab, database: str, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script with psql."""
    command = [str(find_binaries() / "psql"), lab.url_of(database), "-X", "-v", "retrofit=1"]
    return subprocess.run(command, input=script, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("scenario", [UP, DOWN], ids=str)
def test_run_again(lab: Lab, scenario: Scenario, part: int) -> None:
    """Cut off behind any of its statements, and run again in full, it leaves what it leaves undisturbed."""
    template, script = lab.undisturbed(scenario).template, text(scenario)
    cuts = ends(script)
    assert len(cuts) > 20
    with lab.database(template) as name:
        assert run(lab, name, script).returncode == 0
        with lab.connect(name) as connection:
            peace = outcome(connection)
    wrong = []

    for cut in cuts[part::PARTS]:
        with lab.database(template) as name:
            run(lab, name, script[:cut])
            again = run(lab, name, script)
            with lab.connect(name) as connection:
                problems = differences(peace, outcome(connection))
        problems += [again.stderr] if again.returncode else []
        wrong += [f"after {script[:cut][-70:]!r}: {problem}" for problem in problems]

    assert wrong == []
