"""Alembic's `--sql`: readable, with its locks and reasons, and it stops at the first error."""

import re

import pytest

from aoc_migrate.database.bookkeeping import VERSION
from aoc_migrate.revisions.graph import history
from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint
from tests.helpers import dump, psql
from tests.test_golden_sql import STEPS, printed
from tests.test_lifecycle import alembic

CHANGES = re.compile(r"^(ALTER|CREATE|DROP|COMMENT|GRANT|VALIDATE|INSERT|SELECT '(CREATE|DROP))", re.MULTILINE)

SENTENCE = re.compile(r"(?:-- .*\n)*?-- .*\.$", re.MULTILINE)


def statements(text: str) -> list[str]:
    """Return what is printed after Alembic has said which revision begins, in its paragraphs."""
    return text.partition("-- Running ")[2].split("\n\n")[1:]


@pytest.fixture(params=STEPS, ids=lambda step: f"{step[2]}.{step[3]}")
def text(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is printed for each revision, up and down."""
    monkeypatch.delenv(f"{request.param[0].upper()}_DATABASE_SCHEMA", raising=False)
    return printed(*request.param)


def test_no_transaction_is_empty(text: str) -> None:
    """A BEGIN is followed by something that changes the database before its COMMIT."""
    bare = re.sub(r"^--.*\n", "", text, flags=re.MULTILINE)

    assert re.search(r"BEGIN;\s+COMMIT;", bare) is None
    assert bare.count("\nBEGIN;\n") == bare.count("\nCOMMIT;\n")


def test_each_statement_says_its_lock(text: str) -> None:
    """Above each statement a comment says what it does, which lock it takes, for how long, and why."""
    paragraphs = statements(text)

    assert [s for s in paragraphs if CHANGES.match(s) and VERSION not in s] == []
    assert [s for s in paragraphs if s.startswith("-- ") and not SENTENCE.match(s)] == []
    assert text.count("locks the rows of one batch at a time; ") == text.count("\nCALL ")


def test_psql_stops_at_the_first_error(text: str) -> None:
    """Where psql is needed, the first line makes it stop at the first error."""
    assert text.startswith("\\set ON_ERROR_STOP on\n") == ("\\gexec" in text)


def test_a_client_that_stalls_loses_its_lock(excititor: Database, aoc: Aoc) -> None:
    """A client that stops under ACCESS EXCLUSIVE loses its session, and so the lock, after five seconds."""
    printed_sql = alembic(excititor, aoc, "upgrade", "excititor_0001:excititor_0002", "--sql").out
    locked = re.search(r"LOCK TABLE [^;]* IN ACCESS EXCLUSIVE MODE;\n", printed_sql)
    assert locked is not None
    stalled = f"{printed_sql[: locked.end()]}\\! sleep 7\nSELECT 'still there';\n"

    ran = psql(excititor, stalled, "-v", "ON_ERROR_STOP=1")

    assert "still there" not in ran.out
    assert "idle-in-transaction timeout" in ran.err


def test_a_failed_step_ends_the_script(excititor: Database, aoc: Aoc) -> None:
    """Where a row breaks the contract, psql ends with 3 at the proof, and the version stays before it."""
    excititor.add("bad", tenant=" ")

    ran = psql(excititor, alembic(excititor, aoc, "upgrade", "base:head", "--sql").out)

    assert ran.exit_code == 3
    assert "vex_raw_keys_v1" in ran.err
    assert excititor.value("SELECT version_num FROM aoc_alembic_version") == "excititor_0002"


def test_printed_sql_does_what_the_commands_do(
    target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """Printed and run by psql, up and down leave what the commands leave."""
    setting, head = "SET aoc.allow_supersedes_retrofit = 'true';\n", history(target_with_chain.target)[-1].id
    expected = []
    for words in (("upgrade",), ("downgrade", "base")):
        assert aoc(words[0], target_with_chain.target, *words[1:], **retrofit).exit_code == 0
        expected.append((fingerprint(target_with_chain.connection), dump(target_with_chain)))

    found = []
    for words in (("upgrade", "base:head"), ("downgrade", f"{head}:base")):
        ran = psql(target_with_chain, setting + alembic(target_with_chain, aoc, *words, "--sql").out)
        assert ran.exit_code == 0, ran.err
        found.append((fingerprint(target_with_chain.connection), dump(target_with_chain)))

    assert found == expected


def test_the_comment_on_a_strong_lock_is_true(excititor: Database, aoc: Aoc) -> None:
    """The statements below the comment set what others wait at most, and take the weaker lock first."""
    printed = alembic(excititor, aoc, "upgrade", "base:head", "--sql").out
    instants = printed.split("for an instant: waits ")[1:]

    assert len(instants) > 1
    for instant in instants:
        said, strong = instant.partition(" ms at most")[0], instant.partition("IN ACCESS EXCLUSIVE MODE")[0]
        assert strong.count(f"_timeout = '{said}ms'") == 2
        assert "\n-- SHARE UPDATE EXCLUSIVE first" in strong
        assert "IN SHARE UPDATE EXCLUSIVE MODE;" in strong


def test_repairs_are_not_printed(concelier: Database, aoc: Aoc) -> None:
    """Printed SQL makes the view, and leaves out what only a view that somebody has changed needs."""
    printed = alembic(concelier, aoc, "upgrade", "concelier_0007:concelier_0008", "--sql").out

    assert "CREATE VIEW" in printed
    assert not re.search(r"^(ALTER VIEW|CREATE OR REPLACE)", printed, re.MULTILINE)


@pytest.mark.parametrize("used", [True, False])
def test_a_function_that_others_use_stays(used: bool, excititor: Database, aoc: Aoc) -> None:
    """The printed way back drops the functions of the rules, but for one that another table uses."""
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0
    if used:
        excititor.run("CREATE TABLE aside (LIKE vex_raw INCLUDING ALL)")

    ran = psql(excititor, alembic(excititor, aoc, "downgrade", "excititor_0007:excititor_0006", "--sql").out)

    assert ran.exit_code == 0, ran.err
    assert excititor.value("SELECT version_num FROM aoc_alembic_version") == "excititor_0006"
    assert excititor.value("SELECT to_regproc('vex_raw_content_ok_v1') IS NOT NULL") is used


def test_links_need_permission(excititor: Database, aoc: Aoc) -> None:
    """Printed SQL sets no link unless the session allows it, and says how."""
    for n in (1, 2):
        excititor.add(str(n), upstream_id="CVE-1", content_hash=str(n), retrieved_at=f"2025-01-0{n}T00:00:00Z")

    ran = psql(excititor, alembic(excititor, aoc, "upgrade", "base:head", "--sql").out)

    assert (ran.exit_code, "aoc.allow_supersedes_retrofit" in ran.err) == (3, True), ran.err
    assert excititor.value("SELECT version_num FROM aoc_alembic_version") == "excititor_0005"


def test_both_histories_are_shown(aoc: Aoc, excititor: Database) -> None:
    """`alembic heads` and `alembic history` without -n show both databases; what needs one asks for it."""
    heads, shown = (alembic(excititor, aoc, word, named=False).out for word in ("heads", "history"))
    refused = alembic(excititor, aoc, "upgrade", "heads", named=False, check=False)

    assert re.findall(r"^(\w+) \(\w+\) \(head\)$", heads, re.MULTILINE) == ["concelier_0008", "excititor_0007"]
    assert all(revision.id in shown for target in ("concelier", "excititor") for revision in history(target))
    assert refused.exit_code != 0
    assert "alembic -n concelier" in refused.out
