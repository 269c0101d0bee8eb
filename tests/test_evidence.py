"""`upgrade --evidence DIR`: reports and SQL of a run, even of one that fails, is interrupted or killed."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint
from tests.helpers import fill, psql, wait_until

ALL = {
    f"{command}.{form}" for command in ("audit", "plan", "upgrade", "verify") for form in ("json", "md", "html")
}


def runs(folder: Path) -> list[Path]:
    """Return the runs in a folder of evidence, by name; the overview is there as well."""
    assert (folder / "index.html").is_file()
    return sorted(path for path in folder.iterdir() if path.name != "index.html")


def only_run(folder: Path) -> Path:
    """Return the only run in a folder of evidence."""
    (run,) = runs(folder)
    return run


def names(run: Path, target: str) -> set[str]:
    """Return the names of a run's files without the target."""
    return {path.name.removeprefix(f"{target}-") for path in run.iterdir()}


def read(path: Path) -> str:
    """Return the text of a file."""
    return path.read_text(encoding="utf-8")


def whole(run: Path) -> bool:
    """Whether sha256sum finds every file as it was written."""
    ran = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=run, check=False, capture_output=True
    )
    listed = (run / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    return ran.returncode == 0 and len(listed) == len(list(run.iterdir())) - 1


def test_a_good_run_leaves_all_evidence(
    target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str], tmp_path: Path
) -> None:
    """It leaves plan, audit, run and verify in every format, the SQL, and sums that hold."""
    ran = aoc("upgrade", "--format", "json", "--evidence", str(tmp_path / "ticket"), **retrofit)

    run = only_run(tmp_path / "ticket")
    assert ran.exit_code == 0
    assert names(run, target_with_chain.target) == ALL | {"upgrade.sql", "index.html", "SHA256SUMS"}
    assert whole(run)
    reports = {
        name: json.loads((run / f"{target_with_chain.target}-{name}.json").read_text(encoding="utf-8"))
        for name in ("plan", "audit", "upgrade", "verify")
    }
    assert reports["upgrade"] == ran.json
    changed = [name for name, whole_report in reports.items() if whole_report["reports"][0]["changed"]]
    assert changed == ["upgrade"]
    facts = {name: whole_report["reports"][0]["facts"] for name, whole_report in reports.items()}
    assert [name for name in facts if len(facts[name].get("checks", [])) > 1] == ["audit", "upgrade", "verify"]


def left(database: Database) -> object:
    """What is in a database: its catalog, the rows of the raw table, the revision."""
    rows = f"SELECT md5(string_agg(t::text, '' ORDER BY id)) FROM {database.table} AS t"
    revision = database.value("SELECT version_num FROM aoc_alembic_version")
    return fingerprint(database.connection), database.value(rows), revision


def test_the_recorded_sql_repeats_the_run(
    concelier: Database, empty_database: Database, aoc: Aoc, retrofit: dict[str, str], tmp_path: Path
) -> None:
    """Run with psql on a copy, the SQL that ran leaves the catalog, rows and revision that it left."""
    fill(concelier, 5000)
    aoc.configure(concelier)
    url, name = concelier.url, concelier.connection.info.dbname
    concelier.connection.close()
    empty_database.run(f"CREATE DATABASE {name}_twin TEMPLATE {name}")
    try:
        assert aoc("upgrade", "--evidence", str(tmp_path), **retrofit).exit_code == 0
        with psycopg.connect(url, autocommit=True) as connection:
            original = left(Database(connection, "advisory_raw", "concelier"))
        with psycopg.connect(url, dbname=f"{name}_twin", autocommit=True) as connection:
            twin = Database(connection, "advisory_raw", "concelier")
            sql = (only_run(tmp_path) / "concelier-upgrade.sql").read_text(encoding="utf-8")
            ran = psql(twin, sql, "-v", "ON_ERROR_STOP=1")
            assert ran.exit_code == 0, ran.err
            assert left(twin) == original
    finally:
        empty_database.run(f"DROP DATABASE {name}_twin WITH (FORCE)")


def test_a_refused_run_leaves_no_sql(excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """An audit that stops the upgrade leaves everything but SQL, since none ran."""
    excititor.add("bad", tenant=None)
    aoc.configure(excititor)

    ran = aoc("upgrade", "--evidence", str(tmp_path))

    run = only_run(tmp_path)
    assert ran.exit_code == 1
    assert names(run, "excititor") == ALL | {"index.html", "SHA256SUMS"}
    audit = json.loads((run / "excititor-audit.json").read_text(encoding="utf-8"))
    assert [f["slug"] for f in audit["reports"][0]["findings"]] == ["missing-required", "null-key"]
    assert whole(run)


def test_a_failed_run_leaves_the_sql_so_far(excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """A step that is given up leaves the SQL so far with the failure in it, and a verify report."""
    excititor.add("1")
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0001").exit_code == 0
    with psycopg.connect(excititor.url) as reader:
        reader.execute("SELECT FROM vex_raw")
        ran = aoc("upgrade", "--deadline", "1s", "--max-stall", "50ms", "--evidence", str(tmp_path))

    run = only_run(tmp_path)
    sql = (run / "excititor-upgrade.sql").read_text(encoding="utf-8")
    assert ran.exit_code == 3
    assert "ROLLBACK;" in sql
    assert re.search("-- failed: (55P03|57014)", sql)
    assert "not-at-head" in (run / "excititor-verify.json").read_text(encoding="utf-8")
    assert whole(run)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_leaves_the_sql_so_far(
    number: signal.Signals, excititor: Database, aoc: Aoc, retrofit: dict[str, str], tmp_path: Path
) -> None:
    """Interrupted in the backfill, plan, audit, SQL and an index are there; after SIGTERM, sums too."""
    fill(excititor, 60_000)
    aoc.configure(excititor)
    process = aoc.start("upgrade", "--evidence", str(tmp_path), **retrofit)
    wait_until(lambda: excititor.value("SELECT to_regclass('aoc_supersedes_journal') IS NOT NULL"))
    os.kill(process.pid, number)
    process.communicate(timeout=30)

    (run,) = (path for path in tmp_path.iterdir() if path.is_dir())
    found = names(run, "excititor")
    assert {"plan.json", "audit.json", "upgrade.sql", "index.html"} <= found
    assert "UNFINISHED" in read(run / "index.html")
    assert not any(name.startswith(".") for name in found)
    assert 'CREATE TABLE "public"."aoc_supersedes_journal"' in (run / "excititor-upgrade.sql").read_text("utf-8")
    assert ("SHA256SUMS" in found) == (number == signal.SIGTERM)


def test_a_run_with_nothing_to_do_leaves_one_page(
    target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str], tmp_path: Path
) -> None:
    """At head, and under a hold, the evidence is one page that says so, not a folder of reports."""
    target = target_with_chain.target
    assert aoc("upgrade", **retrofit).exit_code == 0

    assert aoc("upgrade", "--evidence", str(tmp_path / "head"), "--ticket", "CHG-7").exit_code == 0
    assert aoc("downgrade", target, "-1").exit_code == 0
    assert aoc("upgrade", "--evidence", str(tmp_path / "held"), **retrofit).exit_code == 0

    head, held = only_run(tmp_path / "head"), only_run(tmp_path / "held")
    assert re.fullmatch(rf"{target}-\d{{4}}-\d\d-\d\dT\d\d-\d\d-\d\dZ\.html", head.name)
    assert all(words in read(head) for words in ("PASSED", "nothing changed", "CHG-7", "Nothing ran"))
    assert all(words in read(held) for words in ("HELD", "Nothing ran", "--release-hold"))


def test_each_run_has_its_own_folder(excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """Runs that begin in the same second overwrite nothing."""
    aoc.configure(excititor)
    excititor.add("bad", tenant=None)

    for process in [aoc.start("upgrade", "--evidence", str(tmp_path)) for _ in range(3)]:
        process.communicate(timeout=60)

    assert len(runs(tmp_path)) == 3
    assert all(whole(run) for run in runs(tmp_path))


def test_without_a_server_the_report_is_the_evidence(aoc: Aoc, tmp_path: Path) -> None:
    """Without a server the run's report is the evidence."""
    aoc.environment["EXCITITOR_DATABASE_URL"] = "postgresql://nobody:planted-secret@127.0.0.1:1/none"

    assert aoc("upgrade", "--evidence", str(tmp_path)).exit_code == 3

    run = only_run(tmp_path)
    assert names(run, "excititor") == {"upgrade.json", "upgrade.md", "upgrade.html", "index.html", "SHA256SUMS"}
    assert not any("planted-secret" in path.read_text(encoding="utf-8") for path in run.iterdir())


def test_an_unwritable_folder_is_refused_first(excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """A folder that cannot be written to is refused before anything is done."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    aoc.configure(excititor)

    ran = aoc("upgrade", "--evidence", str(tmp_path / "file" / "below"))

    assert ran.exit_code == 2
    assert "Choose a writable folder" in ran.err
    assert excititor.value("SELECT to_regclass('aoc_alembic_version')") is None


@pytest.mark.parametrize("place", ["", "-"])
def test_evidence_needs_a_folder(place: str, excititor: Database, aoc: Aoc) -> None:
    """Neither an empty name nor a dash, which is stdout elsewhere, is a folder."""
    aoc.configure(excititor)

    ran = aoc("upgrade", "--evidence", place)

    assert (ran.exit_code, "--evidence takes a folder" in ran.err) == (2, True)


def test_a_full_disk_does_not_stop_the_migration(excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """If the evidence cannot be written, the migration goes on, and its report says so: exit 4, or 2 unchanged."""
    aoc.configure(excititor)
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(small)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    try:
        ran = aoc.json("upgrade", "--evidence", str(small))
        again = aoc.json("upgrade", "--evidence", str(small))
    finally:
        subprocess.run(["umount", str(small)], check=True)

    assert (ran.exit_code, ran.slugs("error"), ran.report["revision"]) == (
        4,
        ["evidence-incomplete"],
        "excititor_0007",
    )
    assert (again.exit_code, again.slugs("error")) == (2, ["evidence-incomplete"])
    assert "No space left on device" in ran.finding("evidence-incomplete")["problem"]
