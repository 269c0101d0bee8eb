"""The pages of evidence: the index of each run, and the overview of all runs in the folder."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from aoc_migrate.run.evidence_folder import list_runs
from tests.conftest import Aoc, Database
from tests.helpers import fill, wait_until
from tests.test_evidence import only_run, read, runs
from tests.test_report_html import Reader


def links(page: Path) -> list[str]:
    """Return what a page links to, each of which is there; the page is whole and loads nothing."""
    reader = Reader(read(page))
    found = [str(a["href"]) for a in reader.named("a") if not str(a["href"]).startswith("#")]

    assert reader.problems == []
    assert not {"script", "img", "link", "iframe"} & {name for name, _ in reader.elements}
    assert not [each for each in found if not (page.parent / each).exists()]
    return found


def rows(page: Path) -> list[str]:
    """Return the text of each row of the table of a page."""
    body = read(page).partition("<tbody>")[2].partition("</tbody>")[0]
    return [" ".join(" ".join(Reader(row).words).split()) for row in body.split("<tr>")[1:]]


def test_the_index_has_verdicts_and_links(
    target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str], tmp_path: Path
) -> None:
    """The index of a run has its ticket and verdict, each report's verdict, and links to all of its files."""
    assert aoc("upgrade", "--evidence", str(tmp_path), "--ticket", "CHG-9", **retrofit).exit_code == 0

    run = only_run(tmp_path)
    page, words = run / "index.html", ("CHG-9", "system identifier", "PASSED", "changed; longest stall")
    assert set(links(page)) == {path.name for path in run.iterdir()} - {"index.html", "SHA256SUMS"}
    reports = [link.rpartition(".")[0] for link in links(page) if not link.endswith(".sql")]
    assert reports == [name for name in dict.fromkeys(reports) for _ in ("html", "json", "md")]
    assert [row.split()[0] for row in rows(page)][:4] == ["plan", "audit", "upgrade", "verify"]
    assert all("PASSED" in row for row in rows(page)[:4])
    assert [word for word in words if word not in read(page)] == []


def test_each_target_has_its_folder_and_the_overview_both(
    concelier: Database, excititor: Database, aoc: Aoc, tmp_path: Path
) -> None:
    """A run over both targets has a folder for each, and the overview links to both, with their verdicts."""
    aoc.configure(concelier, excititor)
    concelier.add("fine")
    excititor.add("bad", tenant=None)

    ran = aoc("upgrade", "--evidence", str(tmp_path))

    assert ran.exit_code == 1
    assert [run.name.partition("-")[0] for run in runs(tmp_path)] == ["concelier", "excititor"]
    assert sorted(links(tmp_path / "index.html")) == [f"{run.name}/index.html" for run in runs(tmp_path)]
    verdicts = {row.split()[0]: row.split()[3] for row in rows(tmp_path / "index.html")}
    assert verdicts == {"concelier": "PASSED", "excititor": "FINDINGS"}


def test_a_run_that_was_killed_is_unfinished(
    excititor: Database, aoc: Aoc, retrofit: dict[str, str], tmp_path: Path
) -> None:
    """The next run's overview lists a killed run as unfinished, and the latest run first."""
    fill(excititor, 60_000)
    aoc.configure(excititor)
    process = aoc.start("upgrade", "--evidence", str(tmp_path), **retrofit)
    wait_until(lambda: excititor.value("SELECT to_regclass('aoc_supersedes_journal') IS NOT NULL"))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)

    assert aoc("upgrade", "--evidence", str(tmp_path), **retrofit).exit_code == 0

    assert [row.split()[3] for row in rows(tmp_path / "index.html")] == ["PASSED", "UNFINISHED"]
    assert "1 PASSED, 1 UNFINISHED" in read(tmp_path / "index.html")


def test_what_others_keep_there_is_left_alone(excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """An index.html of somebody else stays as it is; other files are neither listed nor read."""
    aoc.configure(excititor)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "index.html").write_text("<title>Mine</title>", encoding="utf-8")
    for name in ("excititor-notes", "excititor-2026-01-01T00-00-00Z", "excititor-2026-01-01T00-00-01Z"):
        (tmp_path / name).mkdir()
    os.mkfifo(tmp_path / "excititor-2026-01-01T00-00-00Z" / "index.html")
    (tmp_path / "excititor-2026-01-01T00-00-01Z" / "index.html").write_text(
        '<meta name="description" content="PASSED: &lt;script&gt;alert(1)&lt;/script&gt;">', encoding="utf-8"
    )

    assert aoc("upgrade", "--evidence", str(theirs)).exit_code == 0
    assert aoc("upgrade", "--evidence", str(tmp_path)).exit_code == 0

    assert read(theirs / "index.html") == "<title>Mine</title>"
    assert len(list(theirs.iterdir())) == 2
    assert "<script>" not in read(tmp_path / "index.html")
    listed = rows(tmp_path / "index.html")
    assert [row.split()[3] for row in listed] == ["PASSED", "PASSED", "UNFINISHED"]
    assert "notes" not in " ".join(listed)
    assert len(links(tmp_path / "index.html")) == 3


def test_runs_at_the_same_time_are_all_listed(excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """The overview lists each of several runs that ended together, and no temporary file is left."""
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0

    for process in [aoc.start("upgrade", "--evidence", str(tmp_path)) for _ in range(4)]:
        process.communicate(timeout=60)

    assert len(rows(tmp_path / "index.html")) == len(runs(tmp_path)) == 4
    assert sorted(links(tmp_path / "index.html")) == [run.name for run in runs(tmp_path)]


def leave(folder: Path, worker: int) -> None:
    """Leave the pages of ten runs in a folder, each with a new overview."""
    for n in range(10):
        text = f'<meta name="description" content="PASSED: run {n} of {worker}">'
        (folder / f"excititor-2026-01-01T00-00-{n:02}Z-{worker}.html").write_text(text, encoding="utf-8")
        list_runs(folder)


def test_the_last_overview_misses_no_run(tmp_path: Path) -> None:
    """Whichever process writes the overview last, it lists the runs of all."""
    workers = [multiprocessing.get_context("fork").Process(target=leave, args=(tmp_path, n)) for n in range(2, 8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)

    assert len(rows(tmp_path / "index.html")) == len(runs(tmp_path)) == 60


def test_the_overview_is_bounded(tmp_path: Path) -> None:
    """Of many runs, the overview lists the latest 200, and says how many it does not list."""
    for n in range(205):
        (tmp_path / f"concelier-2026-01-01T00-{n // 60:02}-{n % 60:02}Z.html").write_text("", encoding="utf-8")

    list_runs(tmp_path)

    listed = rows(tmp_path / "index.html")
    assert (len(listed), listed[0].split()[1]) == (200, "2026-01-01T00-03-24Z")
    assert "5 earlier ones are not listed" in read(tmp_path / "index.html")


@pytest.mark.parametrize("revision", ["excititor_9999", "excititor_0002", "-1", "+9"])
def test_a_refused_revision_leaves_nothing(revision: str, excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """A revision that cannot be gone up to is refused, and leaves neither a folder nor an overview."""
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor", "excititor_0004").exit_code == 0

    ran = aoc("upgrade", "excititor", revision, "--evidence", str(tmp_path))

    assert (ran.exit_code, list(tmp_path.iterdir())) == (2, []), ran.err
