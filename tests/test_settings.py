"""No setting that a role, a database or PGOPTIONS brings along changes what we read, write or conclude."""

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from aoc_migrate.database.lock_wait import bounded_lock_wait
from aoc_migrate.database.pinned_settings import SETTINGS
from aoc_migrate.revisions.graph import history
from aoc_migrate.sandbox.databases import create_raw_table
from tests.conftest import ROOT, Aoc, Database
from tests.fingerprint import fingerprint
from tests.helpers import PINNED, dump, psql
from tests.test_golden_sql import printed
from tests.test_scans import session_of

HOSTILE = {
    "array_nulls": "off",
    "backslash_quote": "off",
    "bytea_output": "escape",
    "check_function_bodies": "off",
    "client_encoding": "LATIN1",
    "client_min_messages": "error",
    "DateStyle": "German, DMY",
    "default_transaction_deferrable": "on",
    "default_transaction_isolation": "serializable",
    "exit_on_error": "on",
    "extra_float_digits": "-15",
    "gin_fuzzy_search_limit": "1",
    "IntervalStyle": "iso_8601",
    "jit": "on",
    "log_parameter_max_length_on_error": "-1",
    "plpgsql.extra_errors": "all",
    "plpgsql.extra_warnings": "all",
    "quote_all_identifiers": "on",
    "restrict_nonsystem_relation_kind": "view",
    "row_security": "off",
    "standard_conforming_strings": "off",
    "TimeZone": "Asia/Kathmandu",
    "transform_null_equals": "on",
    "xmlbinary": "hex",
    "xmloption": "document",
}
ELSEWHERE = {
    "client_connection_check_interval",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "statement_timeout",
    "tcp_keepalives_count",
    "tcp_keepalives_idle",
    "tcp_keepalives_interval",
    "transaction_timeout",
}
TRIGGER = "update-trigger:coming_late"
COMING_LATE = f"""
CREATE FUNCTION come_late() {PINNED} $late$
BEGIN
  IF NEW.id = 'r4' THEN
    INSERT INTO vex_raw SELECT (jsonb_populate_record(NEW, jsonb_build_object('id', 'late', 'content_hash', 'late',
      'retrieved_at', NEW.retrieved_at - interval '40 hours', 'supersedes', NULL))).* ON CONFLICT DO NOTHING;
  END IF;
  RETURN NEW;
END $late$;
CREATE TRIGGER coming_late BEFORE UPDATE ON vex_raw FOR EACH ROW EXECUTE FUNCTION come_late()
"""
COMMANDS = (
    f"audit --accept {TRIGGER}",
    "plan",
    f"upgrade --accept {TRIGGER}",
    "verify --probe",
    "status",
    "chain",
    "downgrade base",
    f"upgrade --release-hold --accept {TRIGGER}",
    "verify",
)
UP, DOWN = (
    [(r.down or "base", r.id, way) for r in order]
    for way, order in (("upgrade", history("excititor")), ("downgrade", reversed(history("excititor"))))
)
# A slow moment makes an estimate a bound, and a read that was given up is not counted; the digest is of these too.
VOLATILE = re.compile("bytes|estimated|links_at_most|full_reads|plan_digest|runs?$|plan$")


@pytest.fixture
def excititor_as_owner(excititor: Database) -> Iterator[Database]:
    """The database as an ordinary role that owns all of it sees it; the role has no settings yet."""
    role = f"owner_{excititor.connection.info.backend_pid}"
    excititor.run(f"CREATE ROLE {role} LOGIN PASSWORD 'o'")
    with psycopg.connect(excititor.url_as(role, "o"), autocommit=True) as connection:
        yield Database(connection, "vex_raw", "excititor")
    excititor.run(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def start_over(excititor: Database, owner: Database) -> None:
    """Make schema and table again: links are missing, wrong and right, and a row arrives behind the backfill.

    The journal, and the values that are bound, then hold NULL.
    """
    role = owner.connection.info.user
    excititor.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    excititor.run(f"ALTER SCHEMA public OWNER TO {role}")
    with owner.connection.transaction():
        create_raw_table(owner.connection, "vex_raw")
    owner.run("ALTER TABLE vex_raw ADD supersedes text")
    for n in range(6):
        at = f"2025-01-0{n + 1}T00:00:00.123456Z"
        owner.add(f"r{n}", retrieved_at=at, created_at=at, supersedes="é" if n == 3 else None)
    owner.run("UPDATE vex_raw SET supersedes = 'r4' WHERE id = 'r5'")
    owner.run(COMING_LATE)


def hostile(excititor: Database, owner: Database, how: str) -> dict[str, str]:
    """Set everything for the role or the database, or return the environment that does."""
    settings = {name: value for name, value in HOSTILE.items() if name in known(excititor)}
    if how == "PGOPTIONS":
        escaped = {name: value.replace(" ", "\\ ") for name, value in settings.items()}
        return {"PGOPTIONS": " ".join(f"-c {name}={value}" for name, value in escaped.items())}
    what = "ROLE" if how == "ROLE" else "DATABASE"
    name = owner.connection.info.user if how == "ROLE" else owner.connection.info.dbname
    for setting, value in settings.items():
        excititor.run(f"ALTER {what} \"{name}\" SET {setting} = '{value}'")
    return {}


def known(database: Database) -> set[str]:
    """Return the names of the settings that this server has."""
    return {name for (name,) in database.rows("SELECT name FROM pg_settings")} | {
        "plpgsql.extra_errors",
        "plpgsql.extra_warnings",
    }


def plain(report: Any) -> Any:
    """Return a report without numbers and times of this run."""
    facts = {name: fact for name, fact in report["facts"].items() if not VOLATILE.search(name)}
    steps = [(step["statement"], step.get("rows")) for step in report["steps"] + report["facts"].get("plan", [])]
    rest = {name: report[name] for name in ("revision", "changed", "exit_code", "findings", "next")}
    return re.sub(r"\d{4}-\d\d-\d\d[ T][\d:.]+|\d+ (ms|s)\b", "…", repr((rest, facts, steps)))


def through_commands(owner: Database, aoc: Aoc, environment: dict[str, str]) -> list[Any]:
    """Return what every command reported, and what it left in the catalog, in the rows and in the journal."""
    aoc.environment["EXCITITOR_DATABASE_URL"] = owner.url
    seen: list[Any] = []
    for command in COMMANDS:
        ran = aoc.json(*command.split(), AOC_ALLOW_SUPERSEDES_RETROFIT="true", **environment)
        seen += [command, ran.exit_code, plain(ran.report), *fingerprint(owner.connection), dump(owner)]
        if command.startswith("upgrade"):
            seen.append(journal(owner))
    return seen


def journal(owner: Database) -> list[Any]:
    """Return what the backfill wrote down to undo itself, NULL and 'NULL' apart."""
    return owner.rows("SELECT to_jsonb(j) - 'batch' - 'written_at' FROM aoc_supersedes_journal j ORDER BY 1")


def through_psql(owner: Database, environment: dict[str, str]) -> list[Any]:
    """Return what psql said of every script, and what each left."""
    seen: list[Any] = []
    allow = "SET aoc.allow_supersedes_retrofit = 'true';\n"
    scripts = [
        (check_script(), ()),
        (plan_script("base:excititor_0005"), ()),
        (plan_script("excititor_0005:head"), ("-v", "retrofit=1", "-v", f"accept={TRIGGER}")),
        (plan_script("head:base"), ()),
        (allow + "".join(printed("excititor", *step) for step in UP), ()),
        ("".join(printed("excititor", *step) for step in DOWN), ()),
    ]
    for script, words in scripts:
        ran = psql(owner, script, "-v", "ON_ERROR_STOP=1", *words, **environment)
        assert ran.exit_code == 0, ran.err
        there = owner.value("SELECT to_regclass('aoc_supersedes_journal') IS NOT NULL")
        seen += [ran.out, ran.err, *fingerprint(owner.connection), dump(owner), journal(owner) if there else []]
    return seen


def check_script() -> str:
    """Return the duplicate audit that operators run by psql."""
    return (ROOT / "scripts" / "check-vex-raw-duplicates.sql").read_text(encoding="utf-8")


def plan_script(words: str) -> str:
    """Return the psql script for FROM:TO."""
    return Aoc()("plan", "excititor", words, "--sql").out


@pytest.mark.alike
@pytest.mark.parametrize("how", ["ROLE", "DATABASE", "PGOPTIONS"])
def test_hostile_settings_change_no_command(
    how: str, excititor: Database, excititor_as_owner: Database, aoc: Aoc
) -> None:
    """With every hostile setting the commands report and leave what they report and leave without."""
    start_over(excititor, excititor_as_owner)
    wanted = through_commands(excititor_as_owner, aoc, {})
    assert any("None" in str(entry) for entry in wanted)
    start_over(excititor, excititor_as_owner)

    found = through_commands(excititor_as_owner, aoc, hostile(excititor, excititor_as_owner, how))

    assert [entry for entry in found if entry not in wanted] == []
    assert found == wanted


@pytest.mark.alike
@pytest.mark.parametrize("how", ["ROLE", "PGOPTIONS"])
def test_hostile_settings_change_no_script(how: str, excititor: Database, excititor_as_owner: Database) -> None:
    """The same of what psql runs: our scripts, `plan --sql` and Alembic's own --sql, up and down."""
    start_over(excititor, excititor_as_owner)
    wanted = through_psql(excititor_as_owner, {})
    assert any("None" in str(entry) for entry in wanted)
    start_over(excititor, excititor_as_owner)

    assert through_psql(excititor_as_owner, hostile(excititor, excititor_as_owner, how)) == wanted


def test_nothing_is_compiled(excititor: Database) -> None:
    """Neither our sessions nor our scripts compile queries, whatever the server does for others."""
    excititor.run(f'ALTER DATABASE "{excititor.connection.info.dbname}" SET jit = on')
    scripts = [check_script(), plan_script("base:excititor_0001"), printed("excititor", *DOWN[-1])]

    with session_of(excititor) as session:
        assert session.row("SELECT current_setting('jit') AS jit, pg_jit_available() AS can") == {
            "jit": "off",
            "can": False,
        }
    for script in scripts:
        ran = psql(excititor, f"{script}\nSELECT 'jit ' || current_setting('jit');", "-v", "ON_ERROR_STOP=1")
        assert (ran.exit_code, "jit off" in ran.out) == (0, True), ran.err


def test_every_pinned_setting_is_tried() -> None:
    """Every pinned setting is tried with a hostile value, but for time limits and keepalives, which have tests."""
    assert set(SETTINGS) - set(HOSTILE) == ELSEWHERE


def test_a_shorter_wait_ends_with_its_block(excititor: Database) -> None:
    """After a statement with a wait of its own, the session waits for locks as long as before."""
    with session_of(excititor) as session:
        before = session.value("SHOW lock_timeout")
        with bounded_lock_wait(session, "vex_raw", "test", 1.0):
            within = session.value("SHOW lock_timeout")

        assert (before, within, session.value("SHOW lock_timeout")) == ("10min", "1s", "10min")
