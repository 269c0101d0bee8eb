"""No row, no password and no query text reaches any output of any failing path."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from aoc_migrate.cli import _failed
from aoc_migrate.database.error_text import first_line
from aoc_migrate.database.targets import Target
from tests.conftest import Aoc, Database
from tests.helpers import wait_until
from tests.test_row_refused import upgrade_while_arriving

SECRET = "planted-0c7a"
PASSWORD = "pa$$-planted-91"


@pytest.fixture
def planted_secrets(excititor: Database, aoc: Aoc) -> Database:
    """A database with secrets in documents, in the password, and in the text of a blocking query."""
    aoc.configure(excititor)
    excititor.add("good", content={"raw": {"note": SECRET}}, source={"vendor": "osv", "note": SECRET})
    role = f"owner_{excititor.connection.info.backend_pid}"
    excititor.run(f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
    aoc.environment["EXCITITOR_DATABASE_URL"] = excititor.url_as(role, PASSWORD)
    return excititor


def everything(aoc: Aoc, *words: str, **more: str) -> str:
    """What a command prints in every format, and what the ledger keeps of it."""
    ran = [aoc(*words, "--format", form, **more) for form in ("table", "json", "markdown")]
    ledger = aoc("history", "--format", "json", **more)
    return "".join(r.out + r.err for r in [*ran, ledger])


BROKEN: list[dict[str, Any]] = [
    {"content": {"severity": SECRET}},
    {"source": {"effective_x": SECRET}},
    {"linkset": [SECRET]},
    {"tenant": None, "content": {"raw": SECRET}},
    {"source_vendor": " ", "content": {"raw": SECRET}},
    {"upstream": {"upstream_id": SECRET}},
]


@pytest.mark.alike
@pytest.mark.parametrize("values", BROKEN, ids=str)
@pytest.mark.parametrize("command", ["audit", "upgrade"])
def test_findings_show_only_ids_and_counts(
    command: str, values: dict[str, Any], planted_secrets: Database, aoc: Aoc
) -> None:
    """Findings of the audit show only ids and counts."""
    planted_secrets.add("bad", **values)

    printed = everything(aoc, command)

    assert (SECRET in printed, PASSWORD in printed, "bad" in printed) == (False, False, True)


def test_a_constraint_error_shows_no_row(planted_secrets: Database, aoc: Aoc) -> None:
    """A row that breaks a rule and comes in after the audit: PostgreSQL's DETAIL, the whole row, is not shown."""
    assert aoc("upgrade", "excititor_0001").exit_code == 0

    stopped = upgrade_while_arriving(planted_secrets, aoc, linkset={"severity": SECRET})

    printed = stopped.out + stopped.err + aoc("history", "--format", "json").out
    assert (stopped.exit_code, stopped.slugs("error")) == (4, ["row-refused"])
    assert (SECRET in printed, PASSWORD in printed) == (False, False)


def test_a_unique_violation_shows_no_key(planted_secrets: Database, aoc: Aoc) -> None:
    """A duplicate that comes in while the index is built fails the build without showing its key's DETAIL."""
    assert aoc("upgrade", "excititor_0003").exit_code == 0
    key = {"upstream_id": "CVE-1", "content_hash": f"sha256:{SECRET}"}
    with psycopg.connect(planted_secrets.url) as writer:
        planted_secrets.add("first", **key)
        writer.execute("UPDATE vex_raw SET linkset = linkset WHERE id = 'good'")
        process = aoc.start("upgrade", "--format", "json")
        wait_until(lambda: bool(planted_secrets.value("SELECT count(*) FROM pg_stat_progress_create_index")))
        planted_secrets.add("second", **key)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 4, out + err
    assert (SECRET in out + err, "could not create unique index" in out) == (False, True)


NAMES = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$ BEGIN
  RAISE 'refused %', NEW USING ERRCODE = 'dependent_objects_still_exist', DETAIL = NEW::text;
END $$;
CREATE TRIGGER refusing BEFORE UPDATE ON vex_raw FOR EACH ROW EXECUTE FUNCTION refuse()
"""


def test_detail_is_kept_only_where_postgresql_names_objects(
    planted_secrets: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """Where DETAIL names objects, the message keeps it; a function that raises the same error shows nothing."""
    role = f"kept_{planted_secrets.connection.info.backend_pid}"
    aoc.environment["AOC_VERIFIER_USER"] = role
    planted_secrets.run(f"CREATE ROLE {role}; CREATE TABLE kept (id text); GRANT SELECT ON kept TO {role}")
    planted_secrets.add("next", retrieved_at="2025-02-01T00:00:00Z")
    planted_secrets.run(NAMES)

    dropped = aoc.json("verifier", "drop", "excititor").finding("verifier-not-dropped")["problem"]
    raised = everything(aoc, "upgrade", "--accept", "update-trigger:refusing", **retrofit)
    planted_secrets.run(f"DROP TABLE kept; DROP ROLE {role}")

    assert "cannot be dropped because some objects depend on it (privileges for table public.kept)" in dropped
    assert "failed: PL/pgSQL function public.refuse() line 2 at RAISE (SQLSTATE 2BP01)" in raised
    assert ("refused" in raised, SECRET in raised) == (False, False)


def test_what_our_own_blocks_raise_is_kept(excititor: Database) -> None:
    """The message of a RAISE in a block of ours is shown, not that of a function that the block calls."""
    excititor.run("CREATE FUNCTION said() RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE ''theirs''; END'")
    words = []
    body = "RETURNS text LANGUAGE plpgsql AS 'BEGIN {} ''theirs''; END'"
    excititor.run(f'CREATE FUNCTION "a inline_code_block b"() {body.format("RAISE")}')
    excititor.run(f"CREATE FUNCTION asserted() {body.format('ASSERT false,')}")
    for statement in (
        "RAISE 'advisory: the name is taken'",
        "PERFORM public.said()",
        'PERFORM public."a inline_code_block b"()',
        "PERFORM public.asserted()",
    ):
        with pytest.raises((psycopg.errors.RaiseException, psycopg.errors.AssertFailure)) as error:
            excititor.run(f"DO $$ BEGIN {statement}; END $$")
        words.append(first_line(error.value, Target("excititor", excititor.url)))

    assert words == [
        "advisory: the name is taken",
        "PL/pgSQL function said() line 1 at RAISE (SQLSTATE P0001)",
        'PL/pgSQL function "a inline_code_block b"() line 1 at RAISE (SQLSTATE P0001)',
        "PL/pgSQL function asserted() line 1 at ASSERT (SQLSTATE P0004)",
    ]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("raise ValueError(words)", "external routine exception (SQLSTATE 38000)"),
        ("plpy.error(words)", "internal error (SQLSTATE XX000)"),
        ("plpy.error(words, sqlstate='23514')", "check violation (SQLSTATE 23514)"),
    ],
)
def test_what_a_function_in_python_says_is_not_shown(said: str, shown: str, excititor: Database) -> None:
    """Of an error that a function in PL/Python raises, only the SQLSTATE is shown, also one that it chose."""
    try:
        excititor.run("CREATE EXTENSION plpython3u")
    except psycopg.errors.Error:
        pytest.skip("the server has no PL/Python, or not its library")
    excititor.run(f"CREATE FUNCTION said(words text) RETURNS text LANGUAGE plpython3u AS $${said}$$")

    with pytest.raises(psycopg.Error) as error:
        excititor.rows("SELECT said(%s)", (SECRET,))

    assert first_line(error.value, Target("excititor", excititor.url)) == shown


@pytest.mark.parametrize("command", [("repair",), ("repair", "--apply", "--rule", "all"), ("upgrade",)])
def test_a_value_that_cannot_be_converted_is_not_quoted(
    command: tuple[str, ...], planted_secrets: Database, aoc: Aoc, retrofit: dict[str, str], tmp_path: Path
) -> None:
    """Where a CHECK of the services fails on a document, the report and the pod's message name only the error."""
    blank = {} if command == ("upgrade",) else {"source_vendor": ""}
    planted_secrets.add("next", **blank, retrieved_at="2025-02-01T00:00:00Z", content={"raw": {"note": SECRET}})
    planted_secrets.run(
        "ALTER TABLE vex_raw ADD supersedes text, "
        "ADD CHECK ((content->'raw'->>'note')::numeric > coalesce(length(supersedes), 0)) NOT VALID"
    )
    message = tmp_path / "termination-log"
    message.touch()

    printed = everything(aoc, *command, AOC_TERMINATION_LOG=str(message), **retrofit)

    assert "invalid text representation (SQLSTATE 22P02)" in printed
    assert "SQLSTATE 22P02" in message.read_text() or command == ("repair",)
    assert (SECRET in printed, SECRET in message.read_text()) == (False, False)


def test_a_blocker_shows_no_query_and_an_error_no_password(planted_secrets: Database, aoc: Aoc) -> None:
    """The text of a query that blocks is not shown, nor a wrong password."""
    with psycopg.connect(planted_secrets.url) as blocker:
        blocker.execute(f"SELECT '{SECRET}' FROM vex_raw")
        blocked = everything(aoc, "upgrade", "--deadline", "300ms")
    wrong = planted_secrets.url_as(planted_secrets.connection.info.user, "wrong-planted-77")
    refused = everything(aoc, "upgrade", EXCITITOR_DATABASE_URL=wrong)

    assert "ahead of us" in blocked.lower()
    assert (SECRET in blocked, PASSWORD in blocked, "planted-77" in refused) == (False, False, False)


@pytest.mark.parametrize("debug", [False, True])
def test_an_unforeseen_error_is_one_sentence(
    debug: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error that nobody foresaw is one sentence without its text; AOC_DEBUG adds the traceback."""
    monkeypatch.setenv("AOC_DEBUG", "1" if debug else "")

    assert _failed(ValueError(SECRET)) == 4
    out, err = capsys.readouterr()
    *traceback, sentence = err.splitlines()
    assert "unexpected ValueError; " in sentence
    assert (out, bool(traceback), SECRET in err, SECRET in sentence) == ("", debug, debug, False)
