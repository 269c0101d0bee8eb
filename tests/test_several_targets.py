"""A command on several targets: their order, what stops it, and what it says to type then."""

import os
import threading
from pathlib import Path

import psycopg
import pytest

from aoc_migrate.database.runner_lock import lock_key
from tests.conftest import Aoc, Database


def test_all_configured_targets_are_upgraded_in_order(concelier: Database, excititor: Database, aoc: Aoc) -> None:
    """Without a TARGET all configured ones are upgraded in order; downgrade wants one, or --all."""
    aoc.configure(concelier, excititor)

    up = aoc.json("upgrade")
    ambiguous = aoc("downgrade", "-1")
    down = aoc.json("downgrade", "-1", "--all")

    assert [r["target"] for r in up.json["reports"]] == ["concelier", "excititor"]
    assert ambiguous.exit_code == 2
    assert [r["revision"] for r in down.json["reports"]] == ["concelier_0007", "excititor_0006"]


def test_a_failing_target_stops_the_next(concelier: Database, excititor: Database, aoc: Aoc) -> None:
    """If the first target fails, the second is not touched, and stderr says so."""
    aoc.configure(concelier, excititor)
    concelier.add("bad", tenant=None)

    ran = aoc.json("upgrade")

    assert (ran.exit_code, len(ran.json["reports"])) == (1, 1)
    assert "excititor was not touched" in ran.err
    assert excititor.value("SELECT to_regclass('aoc_migration_state')") is None


ALL: dict[tuple[str, ...], str] = {
    ("constraints", "--remove", "--all"): "aoc-migrate constraints --all --remove",
    ("downgrade", "base", "--all"): "aoc-migrate downgrade --all base",
    ("upgrade", "--evidence", "."): "aoc-migrate upgrade --evidence .",
}


@pytest.mark.alike
@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_what_is_next_is_the_whole_command(
    words: tuple[str, ...],
    concelier: Database,
    excititor: Database,
    aoc: Aoc,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If the first of several targets has to be tried again, `next` names no target, and can be typed."""
    monkeypatch.chdir(tmp_path)
    aoc.configure(concelier, excititor)
    if words[0] != "upgrade":
        assert aoc("upgrade").exit_code == 0
    with psycopg.connect(concelier.url) as other:
        other.execute("SELECT pg_advisory_lock(%s::bigint)", [lock_key("concelier", "public")])
        ran = aoc.json(*words, "--lock-wait", "100ms")

    assert (ran.exit_code, ran.slugs("error")) == (3, ["lock-held"])
    typed = ran.report["next"]["command"]
    assert typed.replace(" --lock-wait 100ms", "") == ALL[words]
    assert aoc(*typed.split()[1:]).exit_code == 0


def test_a_relative_revision_is_for_one_target(
    concelier: Database, excititor: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """If the second target has to be tried again, `next` of a relative revision takes the first no further."""
    aoc.configure(concelier, excititor)
    assert aoc("upgrade", **retrofit).exit_code == 0
    with psycopg.connect(excititor.url) as other:
        other.execute("SELECT pg_advisory_lock(%s::bigint)", [lock_key("excititor", "public")])
        ran = aoc.json("downgrade", "-1", "--all", "--lock-wait", "100ms")

    first, second = ran.json["reports"]
    assert (first["revision"], second["revision"]) == ("concelier_0007", "excititor_0007")
    typed = second["next"]["command"]
    assert typed.replace(" --lock-wait 100ms", "") == "aoc-migrate downgrade excititor -1"
    assert aoc(*typed.split()[1:]).exit_code == 0
    assert aoc.json("status", "concelier").report["revision"] == "concelier_0007"


@pytest.mark.alike
@pytest.mark.parametrize("words", [("upgrade",), ("upgrade", "--evidence", "."), ("plan",)], ids=" ".join)
def test_a_secret_is_read_once(
    words: tuple[str, ...],
    concelier: Database,
    excititor: Database,
    aoc: Aoc,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The file of a URL may be a FIFO, which gives its content once, also of several targets."""
    monkeypatch.chdir(tmp_path)
    for database in (concelier, excititor):
        fifo = tmp_path / database.target
        os.mkfifo(fifo)
        aoc.environment[f"{database.target.upper()}_DATABASE_URL_FILE"] = str(fifo)
        threading.Thread(target=fifo.write_text, args=(database.url,), daemon=True).start()

    ran = aoc(*words)

    assert ran.exit_code == 0, ran.err


def test_a_refused_target_is_in_the_report_with_the_other(
    concelier: Database, excititor: Database, aoc: Aoc
) -> None:
    """Wrong usage for only one target exits 2, and the report has it next to the other target's result."""
    aoc.configure(concelier, excititor)

    ran = aoc.json("upgrade", "concelier_0001")

    assert (ran.exit_code, ran.json["exit_code"], ran.json["ok"]) == (2, 2, False)
    done, refused = ran.json["reports"]
    assert (done["target"], done["revision"], done["exit_code"]) == ("concelier", "concelier_0001", 0)
    assert [(f["slug"], f["subject"]) for f in refused["findings"]] == [("refused", "excititor")]
    assert "neither a target nor a revision of excititor" in refused["findings"][0]["problem"]
    assert "neither a target nor a revision of excititor" in ran.err
