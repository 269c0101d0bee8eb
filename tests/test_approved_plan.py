"""`plan --output plan.json` and `upgrade --plan plan.json`: what was approved is what runs."""

import hashlib
import json
import shlex
from pathlib import Path

import psycopg

from aoc_migrate.revisions.graph import head
from tests.conftest import Aoc, Database
from tests.partitions import partition


def make_plan(aoc: Aoc, folder: Path, *words: str) -> Path:
    """Write the plan of the only configured target to a file, and return it."""
    file = folder / "plan.json"
    ran = aoc("plan", *words, "--output", str(file))
    assert ran.exit_code == 0, ran.out + ran.err
    return file


def test_the_approved_plan_runs(
    target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str], tmp_path: Path
) -> None:
    """An upgrade by its plan goes to head; report and ledger name the plan by the SHA-256 of its file."""
    file = make_plan(aoc, tmp_path)

    ran = aoc.json("upgrade", "--plan", str(file), **retrofit)

    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert (ran.exit_code, ran.report["revision"]) == (0, head(target_with_chain.target))
    assert ran.report["plan"] == digest
    assert aoc.json("history").report["facts"]["runs"][0]["plan"] == digest


def test_a_finished_plan_has_nothing_to_do(
    target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str], tmp_path: Path
) -> None:
    """Run again when everything is done, as by a restarting pod, it exits 0 and takes no lock."""
    file = make_plan(aoc, tmp_path)
    assert aoc("upgrade", "--plan", str(file), **retrofit).exit_code == 0
    target_with_chain.run("CREATE INDEX later ON " + target_with_chain.table + " (tenant)")

    again = aoc.json("upgrade", "--plan", str(file))

    assert (again.exit_code, again.report["changed"], again.report["run"]) == (0, False, None)


def test_an_interrupted_plan_is_typed_again_with_its_file(
    excititor: Database, aoc: Aoc, retrofit: dict[str, str], tmp_path: Path
) -> None:
    """What to type after a refused or interrupted upgrade has the plan, and the upgrade goes on by it."""
    excititor.add("1")
    excititor.add("2", content_hash="other", retrieved_at="2025-01-02T00:00:00Z")
    folder = tmp_path / "of the ticket"
    folder.mkdir()
    aoc.configure(excititor)
    file = make_plan(aoc, folder)

    refused = aoc.json("upgrade", "--plan", str(file))
    with psycopg.connect(excititor.url) as other:
        other.execute("SELECT FROM vex_raw FOR SHARE")
        gave_up = aoc.json("upgrade", "--plan", str(file), "--deadline", "1s", **retrofit)

    allowed, again = (
        "AOC_ALLOW_SUPERSEDES_RETROFIT=true",
        f"aoc-migrate upgrade excititor --plan {shlex.quote(str(file))}",
    )
    assert (refused.exit_code, refused.slugs("error")) == (1, ["retrofit-not-allowed"])
    assert refused.report["next"]["command"] == f"{allowed} {again}"
    assert (gave_up.exit_code, gave_up.report["next"]["command"]) == (3, f"{allowed} {again} --deadline 1s")
    assert aoc("upgrade", "--plan", str(file), **retrofit).exit_code == 0


def test_the_file_name_implies_json(excititor: Database, concelier: Database, aoc: Aoc, tmp_path: Path) -> None:
    """`plan --output x.json` writes JSON and says how to run it: of one target, and if no format was typed."""
    aoc.configure(excititor)
    file = make_plan(aoc, tmp_path)
    following = json.loads(file.read_text(encoding="utf-8"))["reports"][0]["next"]
    assert following["command"] == "aoc-migrate audit excititor"
    assert following["choices"] == [f"aoc-migrate upgrade excititor --plan {file}"]

    assert aoc("plan", "--format", "table", "--output", str(file)).exit_code == 0
    assert file.read_text(encoding="utf-8").startswith("PASSED plan excititor")
    assert aoc("plan", "--output", str(tmp_path / "plan.txt")).exit_code == 0
    assert (tmp_path / "plan.txt").read_text(encoding="utf-8").startswith("PASSED plan excititor")
    aoc.configure(concelier)
    make_plan(aoc, tmp_path)
    reports = json.loads(file.read_text(encoding="utf-8"))["reports"]
    assert [report["next"]["choices"] for report in reports] == [[], []]


def test_a_plan_holds_no_definitions(concelier: Database, aoc: Aoc, tmp_path: Path) -> None:
    """The file names views of others, but holds only digests of what they are; no other format has them at all."""
    concelier.run("CREATE VIEW seen AS SELECT id FROM advisory_raw WHERE id <> 'a-secret'")
    aoc.configure(concelier)

    written = make_plan(aoc, tmp_path).read_text(encoding="utf-8")

    digest = json.loads(written)["reports"][0]["facts"]["catalog"]["advisory_raw"]["dependent"]["view public.seen"]
    assert "a-secret" not in written
    shown = [aoc("plan", *words).out for words in (("-v",), ("--format", "markdown"), ("--format", "html"))]
    assert not [text for text in shown if "view public.seen" in text or digest in text]


def test_the_evidence_has_the_approved_plan(excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """`--evidence` keeps the approved plan byte by byte, next to what was planned at that moment."""
    aoc.configure(excititor)
    file = make_plan(aoc, tmp_path)

    assert aoc("upgrade", "--plan", str(file), "--evidence", str(tmp_path / "ticket")).exit_code == 0

    (kept,) = (tmp_path / "ticket").glob("*/excititor-approved-plan.json")
    assert kept.read_bytes() == file.read_bytes()


def test_a_plan_goes_on_among_partitions(excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """A run that ended between the proofs of two partitions goes on by the same plan."""
    partition(excititor.connection, "vex_raw")
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0002").exit_code == 0
    file = make_plan(aoc, tmp_path)
    with psycopg.connect(excititor.url) as other:
        other.execute("LOCK TABLE vex_raw IN SHARE UPDATE EXCLUSIVE MODE")
        assert aoc("upgrade", "--plan", str(file), "--deadline", "1s").exit_code == 3
    excititor.run("ALTER TABLE vex_raw_a VALIDATE CONSTRAINT vex_raw_keys_v1")

    ran = aoc.json("upgrade", "--plan", str(file))

    assert (ran.exit_code, ran.slugs("error")) == (0, [])
