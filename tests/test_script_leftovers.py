"""Scripts after an interruption: whichever way they go, nothing of the other way is left in the database."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aoc_migrate.database.bookkeeping import VERSION
from aoc_migrate.revisions.graph import history
from tests.conftest import ROOT, Aoc, Database, Ran
from tests.faults.outcome import differences, outcome
from tests.helpers import fill, psql
from tests.test_lifecycle import alembic
from tests.test_operator_scripts import APPLY
from tests.test_plan_script import script

KILL = "\\! kill -9 $PPID\n"
UP, RETROFIT, RELEASE = "base:head", ("-v", "retrofit=1"), ("-v", "release_hold=1")


def killed_before(words: str, revision: str | None) -> str:
    """Return concelier's script, in which psql is killed before it records that it has reached a revision."""
    printed = script("concelier", words)
    calls = [line for line in printed.splitlines(keepends=True) if VERSION in line and "aoc_run" in line]
    (stamp,) = (
        call for call in calls if f"SET version_num = '{revision}'" in call or f"SELECT '{revision}'" in call
    )
    return printed.replace(stamp, KILL + stamp)


@pytest.fixture
def base(concelier: Database, aoc: Aoc) -> list[str]:
    """What concelier's database is at base, after it has been at head."""
    aoc.configure(concelier)
    fill(concelier, 500)
    for words, variables in ((UP, RETROFIT), ("head:base", ())):
        assert psql(concelier, script("concelier", words), *variables).exit_code == 0
    return outcome(concelier.connection)


def changed(base: list[str], database: Database) -> list[str]:
    """Return how a database differs from ``base``; hold and ledger, which name the last command, may."""
    found = differences(base, outcome(database.connection))
    return [
        line
        for line in found
        if " row of aoc_migration_hold" not in line and " row of aoc_migration_log" not in line
    ]


@pytest.mark.alike
@pytest.mark.parametrize("way", ["script", "command"])
@pytest.mark.parametrize("number", range(2, 9))
def test_half_a_revision_is_undone(number: int, way: str, base: list[str], concelier: Database, aoc: Aoc) -> None:
    """Both ways to base undo what an upgrade script that was killed has left above the revision it had reached."""
    up = killed_before(UP, history("concelier")[number - 1].id)
    assert psql(concelier, up, *RETROFIT, *RELEASE).exit_code == -9
    assert changed(base, concelier)

    ran = psql(concelier, script("concelier", "head:base")) if way == "script" else aoc("downgrade", "base")

    assert ran.exit_code == 0, ran.err
    assert changed(base, concelier) == []


def test_base_has_leftovers_too(base: list[str], concelier: Database, aoc: Aoc) -> None:
    """Both ways to base, run at base, undo what is left above it, and a second run changes nothing."""
    aoc.configure(concelier)
    for way in ("script", "command"):
        assert psql(concelier, killed_before(UP, "concelier_0003"), *RETROFIT, *RELEASE).exit_code == -9
        concelier.run("DELETE FROM aoc_alembic_version")
        for _ in range(2):
            ran = (
                psql(concelier, script("concelier", "head:base")) if way == "script" else aoc("downgrade", "base")
            )
            assert ran.exit_code == 0, ran.err
            assert [line for line in changed(base, concelier) if "concelier_0001" not in line] == []


STOCK = """\"\"\"A note on the table.\"\"\"

from alembic import op
from aoc_migrate.contract.v1 import Part

revision = "excititor_0008"
down_revision = "excititor_0007"
part = Part.CONTENT


def upgrade() -> None:
    op.execute("CREATE TABLE public.notes ()")


def downgrade() -> None:
    op.execute("DROP TABLE public.notes")
"""


@pytest.mark.alike
@pytest.mark.parametrize("way", ["script", "command"])
def test_stock_operations_run_once(way: str, excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """Statements of Alembic's own, which ask no catalog, are undone only where their revision is applied."""
    for name in ("aoc_migrate", "migrations"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "alembic.ini", tmp_path)
    (tmp_path / "migrations" / "excititor" / "excititor_0008_notes.py").write_text(STOCK, encoding="utf-8")
    aoc.configure(excititor)
    aoc.environment["PYTHONPATH"] = str(tmp_path)

    def run(*words: str) -> Ran:
        command = [sys.executable, "-m", "aoc_migrate", *words]
        ran = subprocess.run(command, cwd=tmp_path, env=aoc.env(), check=False, capture_output=True, text=True)
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    assert run("upgrade", "excititor", "excititor_0007").exit_code == 0
    down, up = (run("plan", "excititor", words, "--sql").out for words in ("head:base", UP))

    for _ in range(2):
        ran = psql(excititor, down) if way == "script" else run("downgrade", "excititor", "base")
        assert ran.exit_code == 0, ran.err
    for _ in range(2):
        ran = psql(excititor, up, *RELEASE)
        assert ran.exit_code == 0, ran.err
    assert excititor.value("SELECT to_regclass('notes') IS NOT NULL")


def killed_down(revision: str) -> str:
    """Return the script to base, killed before it records a revision, or half way through the links."""
    if revision != "links":
        return killed_before("head:base", revision)
    before, call, after = script("concelier", "head:base").partition("CALL pg_temp.aoc_set_back(")
    before = before.replace("USING 2000", "USING 100").replace("EXIT WHEN seen = 0", "EXIT")
    return before + call + after.replace("\\endif", KILL + "\\endif", 1)


@pytest.fixture
def head(concelier: Database, aoc: Aoc) -> list[str]:
    """What concelier's database is at head."""
    aoc.configure(concelier)
    fill(concelier, 500)
    assert psql(concelier, script("concelier", UP), *RETROFIT).exit_code == 0
    return outcome(concelier.connection)


@pytest.mark.alike
@pytest.mark.parametrize("revision", ["links", "concelier_0004", "concelier_0005", "concelier_0007"])
def test_no_script_ends_an_unfinished_downgrade(
    revision: str, head: list[str], concelier: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """While a downgrade is unfinished, no script ends its hold; once it is finished, head is whole again."""
    assert psql(concelier, killed_down(revision)).exit_code == -9
    before, at = outcome(concelier.connection), concelier.value("SELECT version_num FROM aoc_alembic_version")
    scripts = [
        script("concelier", UP),
        script("concelier", f"concelier_0008:{at}") if at < "concelier_0008" else APPLY,
    ]
    tried = [(text, words) for text in (*scripts, APPLY) for words in ((), RELEASE)]

    for text, words in tried:
        ran = psql(concelier, text, *RETROFIT, *words)
        assert ran.exit_code == 3
        assert "after psql downgrade base, which has not finished" in ran.err
    assert differences(before, outcome(concelier.connection)) == []
    following = aoc.json("status", "concelier").report["next"]
    assert following["command"] == "aoc-migrate downgrade concelier base"

    assert aoc("downgrade", "concelier", "base").exit_code == 0
    ran = psql(concelier, script("concelier", UP), *RETROFIT, *RELEASE)
    assert ran.exit_code == 0, ran.err
    assert [line for line in changed(head, concelier) if "concelier_0001" not in line] == []


@pytest.mark.alike
@pytest.mark.parametrize("way", ["script", "command"])
def test_a_removal_leaves_the_hold_of_an_unfinished_downgrade(
    way: str, head: list[str], concelier: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """The constraints can be removed while a downgrade is unfinished; what finishes it is still known."""
    assert psql(concelier, killed_down("concelier_0006")).exit_code == -9
    hold = "SELECT command, revision, finished FROM aoc_migration_hold"
    before, at = concelier.rows(hold), concelier.value("SELECT version_num FROM aoc_alembic_version")

    removed = (
        aoc("constraints", "concelier", "--remove")
        if way == "command"
        else psql(concelier, APPLY, "-v", "remove=1")
    )
    stays = aoc.json("downgrade", "concelier", at)

    assert removed.exit_code == 0, removed.err
    assert "advisory_raw_keys_v1" not in str(outcome(concelier.connection))
    assert (stays.exit_code, stays.slugs("error"), concelier.rows(hold)) == (1, ["rollback-unfinished"], before)
    assert psql(concelier, script("concelier", UP), *RETROFIT, *RELEASE).exit_code == 3
    assert aoc("downgrade", "concelier", "base").exit_code == 0
    assert concelier.rows(hold) == [("downgrade base", None, True)]


def test_an_unfinished_removal_may_be_released(head: list[str], concelier: Database, aoc: Aoc) -> None:
    """An upgrade script ends the hold of a removal that was killed, and puts back all that it removed."""
    before, otherwise, after = APPLY.partition("-- ======== Otherwise")
    last = before.rindex("UPDATE ")
    killed = before[:last] + KILL + before[last:] + otherwise + after
    assert psql(concelier, killed, "-v", "remove=1").exit_code == -9
    assert changed(head, concelier)

    ran = psql(concelier, script("concelier", UP), *RETROFIT, *RELEASE)

    assert ran.exit_code == 0, ran.err
    assert changed(head, concelier) == []


@pytest.mark.parametrize("way", ["plan", "alembic"])
def test_links_that_stay_are_counted(way: str, excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """A script that sets links back says how many it has left, because somebody has changed them since."""
    fill(excititor, 50)
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor", "excititor_0006", **retrofit).exit_code == 0
    excititor.run("UPDATE vex_raw SET supersedes = 'theirs' WHERE id IN ('r7', 'r8')")
    span = "excititor_0006:excititor_0005"
    printed = (
        script("excititor", span) if way == "plan" else alembic(excititor, aoc, "downgrade", span, "--sql").out
    )

    ran = psql(excititor, printed)

    assert ran.exit_code == 0, ran.err
    assert "2 links stay as they are: others have changed" in ran.err
    assert excititor.value("SELECT count(supersedes) FROM vex_raw") == 2
