"""A role that may not see what other roles do says so, once in each report that depends on seeing it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from tests.builds import held, lonely
from tests.conftest import ROOT, Aoc, Database
from tests.helpers import wait_until
from tests.test_evidence import only_run

SLUG = "limited-visibility"


@pytest.fixture
def unsighted_owner(excititor: Database, aoc: Aoc) -> Iterator[str]:
    """The role that owns the raw table and migrates, without pg_read_all_stats; the command runs as it."""
    with lonely(excititor) as role:
        excititor.add("1")
        aoc.environment["EXCITITOR_DATABASE_URL"] = excititor.url_as(role, "p")
        yield role


@pytest.mark.parametrize("words", ["audit", "status", "upgrade", "downgrade base", "constraints --remove"])
def test_limited_visibility_is_reported_once(words: str, unsighted_owner: str, aoc: Aoc) -> None:
    """Reports that depend on it warn once, with the grant that helps, and the exit code stays 0."""
    if words != "upgrade":
        assert aoc("upgrade").exit_code == 0

    ran = aoc.json(*words.split())

    finding = ran.finding(SLUG)
    assert (ran.exit_code, finding["severity"]) == (0, "warning")
    assert finding["help"] == f"Run: GRANT pg_read_all_stats TO {unsighted_owner};"
    assert ran.err.count("pg_read_all_stats") == 0


@pytest.mark.parametrize(
    "words",
    [
        "dedupe --apply",
        "repair --rule all --apply",
        "chain --drop-journal --apply",
        "chain --apply",
        "dedupe --restore --apply",
    ],
)
def test_every_command_under_the_lock_reports_it(
    words: str, unsighted_owner: str, excititor: Database, aoc: Aoc
) -> None:
    """Every command under the run lock says it once, even with nothing to do."""
    if not words.startswith(("dedupe", "repair")):
        assert aoc("upgrade").exit_code == 0
    if words == "dedupe --restore --apply":
        excititor.run('INSERT INTO vex_raw SELECT (jsonb_populate_record(v, \'{"id": "2"}\')).* FROM vex_raw v')
        assert aoc("dedupe", "--apply").exit_code == 0

    ran = aoc.json(*words.split(), AOC_ALLOW_SUPERSEDES_RETROFIT="true")

    assert (ran.exit_code, ran.slugs("warning")) == (0, [SLUG])


def test_a_run_that_gives_up_reports_it(unsighted_owner: str, excititor: Database, aoc: Aoc) -> None:
    """A run that gives up says it too, and still names the blocker by pid."""
    with psycopg.connect(excititor.url) as reader:
        reader.execute("SELECT FROM vex_raw")
        ran = aoc.json("upgrade", "--deadline", "1s", "--max-stall", "50ms")
        pid = reader.info.backend_pid

    assert (ran.exit_code, sorted(ran.slugs())) == (3, ["deadline", SLUG])
    assert f"pid {pid} (sandbox, " in ran.finding("deadline")["problem"]
    assert f"pg_terminate_backend({pid})" in ran.finding("deadline")["help"]


@pytest.mark.parametrize(
    ("attributes", "grant", "says"),
    [
        ("SUPERUSER", "pg_signal_backend", ", as a superuser"),
        ("", "pg_monitor", ", as a member of pg_signal_backend"),
        ("", "pg_signal_backend", ""),
    ],
)
def test_a_blocker_is_ended_by_who_may(
    attributes: str, grant: str, says: str, unsighted_owner: str, excititor: Database, aoc: Aoc
) -> None:
    """Where this role may not end the session that blocks it, the finding says who may."""
    role = f"service_{excititor.connection.info.backend_pid}"
    excititor.run(f"CREATE ROLE {role} LOGIN {attributes} PASSWORD 'p'; GRANT SELECT ON vex_raw TO {role}")
    excititor.run(f"GRANT {grant} TO {unsighted_owner}")
    with suppress(psycopg.errors.AdminShutdown), psycopg.connect(excititor.url_as(role, "p")) as reader:
        reader.execute("SELECT FROM vex_raw")
        ran = aoc.json("upgrade", "--deadline", "1s", "--max-stall", "50ms")
        statement = f"SELECT pg_terminate_backend({reader.info.backend_pid});"
        refused = False
        with psycopg.connect(aoc.environment["EXCITITOR_DATABASE_URL"]) as owner:
            try:
                owner.execute(statement.encode())
            except psycopg.errors.InsufficientPrivilege:
                refused = True
    excititor.run(f"DROP OWNED BY {role}; DROP ROLE {role}")

    assert f"(for example{says}: {statement})" in ran.finding("deadline")["help"]
    assert refused == bool(says)


@pytest.mark.alike
@pytest.mark.parametrize("words", ["upgrade", "verify", "wait", "plan", "history", "chain", "dedupe"])
def test_a_report_that_does_not_need_it_is_silent(words: str, unsighted_owner: str, aoc: Aoc) -> None:
    """A report that needs no such check does not say it: nothing to do, or only our own tables are read."""
    assert aoc("upgrade").exit_code == 0

    assert SLUG not in aoc.json(*words.split()).slugs()


@pytest.mark.parametrize("words", ["audit", "upgrade"])
def test_the_printed_grant_ends_the_warning(
    words: str, unsighted_owner: str, excititor: Database, aoc: Aoc
) -> None:
    """Once the printed grant is made, nothing is said."""
    (_, grant) = aoc.json("audit").finding(SLUG)["help"].split(": ")
    excititor.run(grant)

    assert SLUG not in aoc.json(*words.split()).slugs()


def test_the_role_in_the_grant_is_quoted(excititor: Database, aoc: Aoc) -> None:
    """The role in the grant is written as SQL writes it."""
    role = f'So "low"; {excititor.connection.info.backend_pid}'
    quoted = psycopg.sql.Identifier(role)
    excititor.run(
        psycopg.sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'p'; GRANT SELECT ON vex_raw TO {}").format(quoted, quoted)
    )
    aoc.environment["EXCITITOR_DATABASE_URL"] = excititor.url_as(role, "p")
    try:
        ran = aoc.json("status")
        excititor.run(ran.finding(SLUG)["help"].removeprefix("Run: "))
        granted = aoc.json("status")
    finally:
        excititor.run(psycopg.sql.SQL("DROP OWNED BY {}; DROP ROLE {}").format(quoted, quoted))

    assert SLUG not in granted.slugs()


def test_what_the_warning_says_is_missing_is_missing(unsighted_owner: str, excititor: Database, aoc: Aoc) -> None:
    """What it says is true: an old transaction and a running build are missing, and appear with the grant."""
    assert aoc("upgrade", "excititor_0003").exit_code == 0
    with held(excititor):
        wait_until(
            lambda: (
                excititor.value(
                    "SELECT count(*) FROM pg_stat_activity WHERE now() - xact_start > interval '6 seconds' "
                    "AND backend_xmin IS NOT NULL AND datname = current_database()"
                )
                > 0
            )
        )
        blind = aoc.json("status")
        excititor.run(f"GRANT pg_read_all_stats TO {unsighted_owner}")
        seeing = aoc.json("status")

    assert (blind.slugs("warning"), blind.report["facts"]["building"]) == ([SLUG], {})
    assert seeing.slugs("warning") == ["old-transaction"]
    assert list(seeing.report["facts"]["building"]) == ["vex_raw_idempotency_v1"]


def test_the_evidence_reports_it_once_each(unsighted_owner: str, aoc: Aoc, tmp_path: Path) -> None:
    """Of the evidence, the reports of audit and run say it once each."""
    assert aoc("upgrade", "--evidence", str(tmp_path)).exit_code == 0

    run = only_run(tmp_path)
    for command in ("audit", "upgrade"):
        (report,) = json.loads((run / f"excititor-{command}.json").read_text(encoding="utf-8"))["reports"]
        assert [f["slug"] for f in report["findings"]].count(SLUG) == 1


def test_stock_alembic_logs_limited_visibility(unsighted_owner: str, aoc: Aoc) -> None:
    """Stock Alembic has no report: its log says it once."""
    ran = subprocess.run(
        [sys.executable, "-m", "alembic", "-n", "excititor", "upgrade", "head"],
        cwd=ROOT,
        env=aoc.env(),
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )

    assert ran.stderr.count(f"GRANT pg_read_all_stats TO {unsighted_owner};") == 1
