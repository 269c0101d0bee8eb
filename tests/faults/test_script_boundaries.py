"""A psql script dies between any two statements: run again, it ends as if undisturbed. Here a sample of them."""

import re
import subprocess
from dataclasses import dataclass

import pytest

from aoc_migrate.sandbox.server import find_binaries
from tests.conftest import ROOT, Aoc
from tests.faults.lab import Lab
from tests.faults.outcome import differences, outcome
from tests.faults.scenarios import Scenario
from tests.sampling import sample

UP = Scenario("concelier", (), "upgrade head", rows=600)
DOWN = Scenario("concelier", ("upgrade head",), "downgrade base", rows=600)
APPLY = ROOT / "scripts" / "apply-aoc-constraints.sql"
_STATEMENT = re.compile(
    r"^(?:(?:ALTER|INSERT|UPDATE|DELETE|DROP)\b.*?;\n"
    r"|CALL\b.*?\);\n"
    r"|SELECT pg_temp\.aoc_alone\((?:(?!\\gset).)*?\\gexec\n)",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Case:
    """A script, the state in which it begins, and the variables with which it is run."""

    scenario: Scenario
    words: str
    variables: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the script."""
        if not self.words:
            return APPLY.read_text(encoding="utf-8")
        return Aoc()("plan", self.scenario.target, self.words, "--sql").out


CASES = {
    "up": Case(UP, "base:head", ("retrofit=1",)),
    "down": Case(DOWN, "head:base"),
    "constraints": Case(UP, "", ("content=1",)),
    "remove": Case(DOWN, "", ("remove=1",)),
}


def ends(script: str) -> list[int]:
    """Return where each statement that changes something ends."""
    return [found.end() for found in _STATEMENT.finditer(script)]


def run(lab: Lab, database: str, script: str, case: Case) -> subprocess.CompletedProcess[str]:
    """Run a script with psql."""
    variables = [word for variable in case.variables for word in ("-v", variable)]
    command = [str(find_binaries() / "psql"), lab.url_of(database), "-X", *variables]
    return subprocess.run(command, input=script, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.alike
@pytest.mark.parametrize("name", CASES)
def test_a_script_cut_off_anywhere_can_run_again(lab: Lab, name: str) -> None:
    """Cut off after any statement that changes something and run again in full, it ends as if undisturbed."""
    case = CASES[name]
    template, script = lab.undisturbed(case.scenario).template, case.text()
    cuts = ends(script)
    assert len(cuts) > 20
    with lab.database(template) as database:
        assert run(lab, database, script, case).returncode == 0
        with lab.connect(database) as connection:
            peace = outcome(connection)
    wrong, half_way = [], 0

    for cut in sample(cuts, name):
        with lab.database(template) as database:
            run(lab, database, script[:cut], case)
            with lab.connect(database) as connection:
                half_way += differences(peace, outcome(connection)) != []
            again = run(lab, database, script, case)
            with lab.connect(database) as connection:
                problems = differences(peace, outcome(connection))
        problems += [again.stderr] if again.returncode else []
        wrong += [f"after {script[:cut][-70:]!r}: {problem}" for problem in problems]

    assert wrong == []
    assert half_way
