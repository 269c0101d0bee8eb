"""`--jobs 2`: both targets side by side, each in a process of its own, and one report."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.conftest import Aoc, Database, Ran
from tests.helpers import wait_until

WORKING = """
SELECT count(DISTINCT datname) FROM pg_stat_activity a JOIN pg_locks l USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND application_name LIKE 'aoc-migrate upgrade%%'
  AND datname = ANY (%s)
"""
SESSIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'aoc-migrate%%' AND datname = ANY (%s)"
)


@pytest.fixture
def both(concelier: Database, excititor: Database, aoc: Aoc) -> list[Database]:
    """Both targets' databases, configured, on one server."""
    aoc.configure(concelier, excititor)
    return [concelier, excititor]


def counted(query: str, both: list[Database]) -> int:
    """Return a count over both databases, as the session of the first one sees it."""
    return int(both[0].value(query, ([database.connection.info.dbname for database in both],)))


@contextmanager
def in_the_middle(aoc: Aoc, both: list[Database], *words: str) -> Iterator[subprocess.Popen[str]]:
    """Give an upgrade of both that waits for the raw tables of both, in a process group of its own.

    The tables are free again when the block ends.
    """
    with ExitStack() as stack:
        for database in both:
            other = stack.enter_context(psycopg.connect(database.url))
            other.execute(f"LOCK TABLE {database.table} IN SHARE MODE".encode())
        command = [sys.executable, "-m", "aoc_migrate", "upgrade", "--jobs", "2", *words]
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            command, env=aoc.env(), stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )
        wait_until(lambda: counted(WORKING, both) == 2)
        yield process


def test_both_at_once(both: list[Database], aoc: Aoc, tmp_path: Path) -> None:
    """Both runs hold their locks at one moment; one report in the usual order; metrics, evidence, log of both."""
    words = ("--format", "json", "--metrics", str(tmp_path / "m"), "--evidence", str(tmp_path / "e"))
    with in_the_middle(aoc, both, *words) as process:
        assert counted(WORKING, both) == 2
    out, err = process.communicate(timeout=60)

    ran = Ran(process.returncode, out, err)
    assert ran.exit_code == 0, err
    assert [(report["target"], report["revision"]) for report in ran.json["reports"]] == [
        ("concelier", "concelier_0008"),
        ("excititor", "excititor_0007"),
    ]
    assert {line.partition(": ")[0] for line in err.splitlines()} == {"concelier", "excititor"}
    for target in ("concelier", "excititor"):
        assert f'target="{target}"' in (tmp_path / "m").read_text()
        kept = {path.name for path in tmp_path.glob(f"e/*/{target}-*.json")}
        assert kept == {f"{target}-{report}.json" for report in ("plan", "audit", "upgrade", "verify")}
    sums = next(tmp_path.glob("e/*/SHA256SUMS"))
    assert subprocess.run(["sha256sum", "--check", sums.name], cwd=sums.parent, check=False).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_ends_both(number: signal.Signals, both: list[Database], aoc: Aoc) -> None:
    """SIGTERM, Ctrl-C and even SIGKILL to the first process end the sessions of both; the same command goes on."""
    with in_the_middle(aoc, both) as process:
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        out, err = process.communicate(timeout=30)
        wait_until(lambda: counted(SESSIONS, both) == 0)

    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    assert out == ""
    assert ("ended by" in err) == (number != signal.SIGKILL)
    assert "Traceback" not in err
    assert aoc("upgrade", "--jobs", "2").exit_code == 0


def test_one_process_dies(both: list[Database], aoc: Aoc) -> None:
    """kill -9 of one process: exit 4 and what to type for its target, while the other one runs to its end."""
    with in_the_middle(aoc, both, "--format", "json") as process:
        killed, *_ = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(killed), signal.SIGKILL)
    out, err = process.communicate(timeout=60)

    ran = Ran(process.returncode, out, err)
    assert ran.exit_code == 4
    dead, alive = sorted(ran.json["reports"], key=lambda report: -report["exit_code"])
    (finding,) = dead["findings"]
    assert (finding["slug"], finding["severity"]) == ("process-ended", "error")
    assert "was killed by SIGKILL" in finding["problem"]
    assert f"aoc-migrate status {dead['target']}" in finding["help"]
    assert alive["revision"] == alive["head"]
    assert aoc("upgrade").exit_code == 0


def test_one_fails(both: list[Database], aoc: Aoc) -> None:
    """A target that fails does not stop the other one, which has begun as well; the worst exit code counts."""
    both[0].add("bad", tenant=None)

    ran = aoc.json("upgrade", "--jobs", "2")

    assert ran.exit_code == 1
    assert [report["exit_code"] for report in ran.json["reports"]] == [1, 0]
    assert ran.json["reports"][1]["revision"] == "excititor_0007"


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_one_is_refused(jobs: str, both: list[Database], aoc: Aoc) -> None:
    """What is wrong usage for one target only is said with exit 2, also in the report, with that of the other."""
    ran = aoc.json("upgrade", "concelier_0001", "--jobs", jobs)

    assert (ran.exit_code, ran.json["exit_code"], ran.json["ok"]) == (2, 2, False)
    done, refused = ran.json["reports"]
    assert (done["target"], done["revision"], done["exit_code"]) == ("concelier", "concelier_0001", 0)
    assert [(f["slug"], f["subject"]) for f in refused["findings"]] == [("refused", "excititor")]
    assert "neither a target nor a revision of excititor" in refused["findings"][0]["problem"]
    assert "neither a target nor a revision of excititor" in ran.err


def test_one_database(empty: Database, aoc: Aoc) -> None:
    """Two targets in one database run one after the other, and a line says so."""
    empty.run("CREATE SCHEMA vex")
    aoc.environment |= {"CONCELIER_DATABASE_URL": empty.url, "EXCITITOR_DATABASE_URL": empty.url}

    ran = aoc("upgrade", "--jobs", "2", EXCITITOR_DATABASE_SCHEMA="vex")

    assert ran.exit_code == 0
    assert "both targets are in one database: one after the other" in ran.err
    assert aoc("audit", "--jobs", "0").exit_code == 2
