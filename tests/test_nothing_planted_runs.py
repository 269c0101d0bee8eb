"""A role with CREATE on the schema plants every function and operator that we name: none of them runs."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from aoc_migrate.sandbox.databases import create_legacy_advisory, create_raw_table
from tests.conftest import ROOT, Aoc, Database
from tests.forks import Process
from tests.helpers import psql
from tests.hostile import role_of, stranger
from tests.logged import logged
from tests.overloads import TRACE, functions_in, operator_overloads, operators_in, overloads, plant

pytestmark = pytest.mark.every_postgres

COMMANDS = """
audit; plan; repair; dedupe; repair --rule all --apply; dedupe --apply; quarantine; dedupe --restore
dedupe --restore --apply; dedupe --apply; status; upgrade; verify --probe; history; wait --timeout 1s; break; chain
chain --apply; chain --drop-journal; verifier create; verifier check; verifier drop; constraints --remove
upgrade --release-hold; downgrade -1; downgrade base; plan up; plan down; alembic up; alembic down
scripts/check-advisory-raw-duplicates.sql; scripts/apply-aoc-constraints.sql
"""
SCRIPTED = {
    "plan up": ["plan", "concelier", "base:concelier_0008", "--sql"],
    "plan down": ["plan", "concelier", "concelier_0008:base", "--sql"],
    "alembic up": ["upgrade", "concelier@head", "--sql"],
    "alembic down": ["downgrade", "concelier@head:base", "--sql"],
}


@pytest.fixture(scope="module")
def logging_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, Path]]:
    """A server that logs every statement, and the log."""
    with logged(tmp_path_factory.mktemp("s"), log_statement="all", log_line_prefix="~~ ") as found:
        yield found


@contextmanager
def concelier_on(server: Database, name: str, aoc: Aoc) -> Iterator[Database]:
    """Give a new database of that server, with rows to repair, to move and to link."""
    server.run(f"CREATE DATABASE {name}")
    with psycopg.connect(server.url.rpartition("/")[0] + f"/{name}", autocommit=True) as connection:
        create_raw_table(connection, "advisory_raw")
        create_legacy_advisory(connection)
        database = Database(connection, "advisory_raw", "concelier")
        for n in range(3):
            database.add(f"{n}", retrieved_at=f"2025-01-0{n + 1}T00:00:00Z")
        database.add("twin", content_hash=database.value("SELECT content_hash FROM advisory_raw LIMIT 1"))
        database.add("bad", upstream_id="CVE-2", source={"vendor": "osv", "severity": 1})
        aoc.configure(database)
        aoc.environment |= {"AOC_ALLOW_SUPERSEDES_RETROFIT": "true", "AOC_VERIFIER_USER": f"verifier_{name}"}
        yield database


def outcome(database: Database, aoc: Aoc, command: str) -> str:
    """Run one command to its end; return what of it must not differ."""
    words = command.split()
    if command == "break":
        database.run("UPDATE advisory_raw SET supersedes = 'nowhere' WHERE id = '0'")
        return "broken"
    if command in SCRIPTED or command.startswith("scripts/"):
        return f"{command}: {scripted(database, aoc, command)}"
    verb = words[: 2 if words[0] == "verifier" else 1]
    ran = aoc.json(*verb, "concelier", *words[len(verb) :])
    slugs = [slug for slug in ran.slugs() if slug != "planted-object"] if ran.out else ran.err
    return f"{command}: {ran.exit_code} {slugs}"


def scripted(database: Database, aoc: Aoc, command: str) -> int:
    """Run what is printed for psql; return psql's exit code."""
    options = ["-v", "ON_ERROR_STOP=1", "-v", "retrofit=1", "-v", "release_hold=1"]
    if command.startswith("scripts/"):
        sql = (ROOT / command).read_text(encoding="utf-8")
        return psql(database, sql, *options, "-v", "target=concelier").exit_code
    if command.startswith("plan"):
        sql = aoc(*SCRIPTED[command]).out
    else:
        sql, _ = Process("alembic", ("-n", "concelier", *SCRIPTED[command]), aoc.env(), ROOT).communicate(
            timeout=60
        )
    return psql(database, sql, *options, PGOPTIONS="-c aoc.allow_supersedes_retrofit=true").exit_code


def all_of_it(database: Database, aoc: Aoc) -> list[str]:
    """Run every command, one after the other."""
    return [outcome(database, aoc, command.strip()) for command in re.split(r"[;\n]", COMMANDS) if command.strip()]


@pytest.fixture(scope="module")
def undisturbed_outcome(logging_server: tuple[Database, Path]) -> tuple[list[str], str]:
    """The outcome of every undisturbed command, and the transcript of all that the server was sent."""
    database, log = logging_server
    begun = log.stat().st_size
    aoc = Aoc()
    with concelier_on(database, "clean", aoc) as concelier:
        outcomes = all_of_it(concelier, aoc)
    return outcomes, log.read_bytes()[begun:].decode()


def planned(server: Database, transcript: str) -> dict[str, str]:
    """Return all that is planted, by signature."""
    made = overloads(server, functions_in(server, transcript))
    return made | operator_overloads(operators_in(server, transcript))


def traces(log: Path, begun: int) -> list[str]:
    """Return what of the planted ran since then."""
    entries = log.read_bytes()[begun:].decode().split("~~ ")
    return [entry for entry in entries if entry.startswith(f"LOG:  {TRACE}")]


def test_the_generator_plants_what_once_ran(
    logging_server: tuple[Database, Path], undisturbed_outcome: tuple[list[str], str]
) -> None:
    """The generator makes what had run before our path was closed, from the transcript alone."""
    made = planned(logging_server[0], undisturbed_outcome[1])

    assert {
        "jsonb_path_match(jsonb, text, text, bool)",
        "hashtextextended(text, int4)",
        "has_table_privilege(regclass, text)",
        "pg_table_size(oid)",
        "pg_relation_size(oid)",
        "obj_description(oid, text)",
        "format(text, text)",
        "array_position(text[], text)",
        "text = text",
        "jsonb - text[]",
    } <= {signature.replace('"', "") for signature in made}
    assert not [outcome for outcome in undisturbed_outcome[0] if " 4 " in outcome]


def test_nothing_planted_before_runs(
    logging_server: tuple[Database, Path], undisturbed_outcome: tuple[list[str], str]
) -> None:
    """With thousands of planted overloads every command ends as without them, and none of them runs."""
    database, log = logging_server
    aoc = Aoc()
    with concelier_on(database, "planted", aoc) as concelier, stranger(concelier) as neighbour:
        assert plant(neighbour, planned(database, undisturbed_outcome[1])) > 2000
        begun = log.stat().st_size
        outcomes = all_of_it(concelier, aoc)
        audited = aoc.json("audit")

        assert traces(log, begun) == []
        assert outcomes == undisturbed_outcome[0]
        assert "planted-object" in audited.slugs("warning")


def test_nothing_planted_meanwhile_runs(
    logging_server: tuple[Database, Path], undisturbed_outcome: tuple[list[str], str]
) -> None:
    """What a role plants while commands run does not run either."""
    database, log = logging_server
    aoc, ended, planted = Aoc(), threading.Event(), 0
    with concelier_on(database, "meanwhile", aoc) as concelier, stranger(concelier) as neighbour:
        statements = list(planned(database, undisturbed_outcome[1]).items())

        def go_on() -> None:
            nonlocal planted
            for at in range(0, len(statements), 100):
                if not ended.is_set():
                    planted += plant(neighbour, dict(statements[at : at + 100]))

        begun, planter = log.stat().st_size, threading.Thread(target=go_on)
        planter.start()
        try:
            outcomes = [
                outcome(concelier, aoc, command) for command in ("dedupe --apply", "repair --rule all --apply")
            ]
            outcomes += [outcome(concelier, aoc, command) for command in ("upgrade", "verify", "downgrade base")]
        finally:
            ended.set()
            planter.join()

        assert planted > 100
        assert [text for text in outcomes if ": 0 " not in text] == []
        assert traces(log, begun) == []


def test_the_trap_catches_an_open_path(
    logging_server: tuple[Database, Path], undisturbed_outcome: tuple[list[str], str]
) -> None:
    """With that schema in the path the same statements do run what is planted: the tests above can fail."""
    database, log = logging_server
    aoc = Aoc()
    with concelier_on(database, "trapped", aoc) as concelier, stranger(concelier) as neighbour:
        assert plant(neighbour, planned(database, undisturbed_outcome[1])) > 2000
        begun = log.stat().st_size
        for sql in (
            "SELECT format('%s', 'x'::text)",
            "SELECT has_table_privilege('advisory_raw'::regclass, 'SELECT')",
            "SELECT pg_relation_size('advisory_raw'::regclass::oid)",
            "SELECT hashtextextended('x'::text, 0)",
        ):
            concelier.run(sql)
        concelier.run("SET search_path = public, pg_catalog; SELECT 'a'::text OPERATOR(public.=) 'b'::text")

        assert len(traces(log, begun)) >= 5


@pytest.mark.parametrize("creator", ["PUBLIC", "group", "role"])
def test_the_finding_names_each_planted_object(creator: str, excititor: Database, aoc: Aoc) -> None:
    """The finding names each object, its role and who has CREATE; what it prints ends it. Trusted roles may."""
    pid = excititor.connection.info.backend_pid
    excititor.run(
        f"CREATE ROLE group_{pid}; CREATE FUNCTION public.lower(text) RETURNS text LANGUAGE sql AS 'SELECT $1'"
    )
    aoc.configure(excititor)
    granted = {"PUBLIC": "PUBLIC", "group": f"group_{pid}", "role": "{role}"}[creator]
    rights = f"GRANT CREATE, USAGE ON SCHEMA public TO {granted}; GRANT group_{pid} TO {{role}}"
    with stranger(excititor, rights) as neighbour:
        plant(neighbour, {"f": "CREATE FUNCTION public.upper(text) RETURNS text LANGUAGE sql AS 'SELECT $1'"})
        plant(neighbour, {"o": "CREATE OPERATOR public.@> (FUNCTION = public.upper, RIGHTARG = text)"})
        found = [aoc.json(verb).finding("planted-object") for verb in ("audit", "status")]
        role = role_of(neighbour)
        for statement in re.findall(r"(?:DROP|REVOKE) [^;]+;", found[0]["help"]):
            excititor.run(statement)
        after = aoc.json("audit").slugs()
        creates = excititor.value("SELECT has_schema_privilege(%s, 'public', 'CREATE')", [role])

    excititor.run(f"DROP OWNED BY group_{pid}; DROP ROLE group_{pid}")
    names = f"public.@>(NONE,text) of {role}, public.upper(text) of {role}"
    assert [names in each["problem"] for each in found] == [True, True]
    assert ("planted-object" in after, creates) == (False, False)
