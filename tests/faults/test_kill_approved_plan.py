"""After kill -9 at any boundary, `upgrade --plan` goes on by the same plan, unless others changed something."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.boundaries import Boundary
from tests.faults.lab import Lab, kill
from tests.faults.outcome import differences, outcome
from tests.faults.scenarios import Scenario

WALKED = [
    (Scenario("excititor", (), "upgrade head"), 11),
    (Scenario("excititor", (), "upgrade excititor_0004", rows=50, parted=True), 17),
    (Scenario("concelier", ("upgrade concelier_0007",), "upgrade concelier_0008"), 6),
]
"""What is killed, at every how many boundaries."""
THEIRS = """
CREATE INDEX extra ON vex_raw (tenant);
ALTER TABLE vex_raw DROP CONSTRAINT others, ALTER note TYPE varchar(9), ALTER linkset SET DEFAULT '{}',
  ENABLE ROW LEVEL SECURITY;
CREATE TRIGGER t BEFORE DELETE ON vex_raw FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
CREATE VIEW seen AS SELECT id FROM vex_raw;
CREATE TABLE refers (id text REFERENCES vex_raw);
DROP INDEX IF EXISTS vex_raw_chain_v1;
CREATE INDEX vex_raw_chain_v1 ON vex_raw (tenant);
"""
DIFFERENT = {
    ("column", "public.vex_raw.linkset", "changed"),
    ("column", "public.vex_raw.note", "changed"),
    ("constraint", "public.vex_raw.others", "absent"),
    ("dependent", "constraint refers_id_fkey on table public.refers", "present"),
    ("dependent", "view public.seen", "present"),
    ("index", "public.extra", "present"),
    ("index", "public.vex_raw_chain_v1", "present"),
    ("relation", "public.vex_raw", "changed"),
    ("trigger", "public.vex_raw.t", "present"),
}


@dataclass(frozen=True)
class Planned(Scenario):
    """A scenario whose command runs an approved plan."""

    plan: str = ""

    @property
    def words(self) -> list[str]:
        """The command as it is typed."""
        return [*super().words, "--plan", self.plan]


def planned(lab: Lab, scenario: Scenario, database: str, folder: Path) -> Planned:
    """Make the plan of a scenario for a database, and return the scenario that runs it."""
    file = str(folder / f"{database}.json")
    _, revision = scenario.command.split()
    ran = lab.run(scenario.target, lab.url_of(database), "plan", scenario.target, revision, "--output", file)
    assert ran.exit_code == 0, ran.out + ran.err
    return Planned(**vars(scenario), plan=file)


def killed(lab: Lab, scenario: Scenario, boundary: Boundary, folder: Path) -> list[str]:
    """Kill an upgrade by its plan at a boundary, run it again, and return what differs from an undisturbed run."""
    peace = lab.undisturbed(scenario)
    with lab.database(peace.template) as name:
        by_plan = planned(lab, scenario, name, folder)
        problems = [] if lab.interrupt(by_plan, name, boundary, kill) else ["the boundary was not reached"]
        again = lab.run(scenario.target, lab.url_of(name), *by_plan.words)
        if again.exit_code:
            problems.append(f"exit {again.exit_code}: {again.out}{again.err}")
        with lab.connect(name) as connection:
            problems += differences(peace.outcome, outcome(connection))
    return [f"{scenario} at {boundary}: {problem}" for problem in problems]


@pytest.mark.alike
@pytest.mark.parametrize(("scenario", "every"), WALKED, ids=str)
def test_a_killed_upgrade_resumes_by_the_same_plan(
    scenario: Scenario, every: int, lab: Lab, tmp_path: Path
) -> None:
    """Killed at any of these boundaries, the same plan runs again and ends as if it had never been disturbed."""
    boundaries = [b for b in lab.undisturbed(scenario).boundaries if not b.inside]

    assert boundaries
    assert not [problem for b in boundaries[::every] for problem in killed(lab, scenario, b, tmp_path)]


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_what_others_changed_is_refused_after_a_kill(share: float, lab: Lab, tmp_path: Path) -> None:
    """After a kill, what others changed is refused by object; what finished steps left is no difference."""
    scenario = WALKED[0][0]
    peace = lab.undisturbed(scenario)
    boundaries = [b for b in peace.boundaries if not b.inside]
    with lab.database(peace.template) as name:
        with lab.connect(name) as connection:
            connection.execute("ALTER TABLE vex_raw ADD note text, ADD CONSTRAINT others CHECK (id <> 'x')")
        by_plan = planned(lab, scenario, name, tmp_path)
        assert lab.interrupt(by_plan, name, boundaries[int(len(boundaries) * share)], kill)
        with lab.connect(name) as connection:
            connection.execute(THEIRS)
            before = outcome(connection)

        ran = lab.run(scenario.target, lab.url_of(name), *by_plan.words, "--format", "json")

        assert ran.out, ran.err
        sample = ran.finding("plan-differs")["sample"]
        assert (ran.exit_code, ran.slugs("error")) == (1, ["plan-differs"])
        assert {(row["kind"], row["object"], row["now"]) for row in sample} == DIFFERENT
        with lab.connect(name) as connection:
            assert outcome(connection) == before
