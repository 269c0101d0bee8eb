"""Bad input: one clear sentence, the documented exit code, no password, nothing changed."""

import os
from pathlib import Path

import psycopg
import pytest

from tests.conftest import Aoc, Database
from tests.servers import guarded_server


def nothing_of_ours(database: Database) -> bool:
    """Whether no table of ours exists anywhere in the database."""
    return bool(database.value("SELECT count(*) = 0 FROM pg_class WHERE relname LIKE 'aoc%%'"))


USAGE = [
    (["upgrade", "concelir"], "neither a target nor a revision"),
    (["upgrade", "concelier", "nonsense"], "neither a target nor a revision"),
    (["upgrade", "concelier", "excititor_0003"], "neither a target nor a revision"),
    (["upgrade", "concelier", "excititor"], "Name one target, or none for all"),
    (["upgrade", "concelier", "-1"], "upgrade cannot go down"),
    (["downgrade", "concelier", "+1"], "downgrade cannot go up"),
    (["downgrade", "concelier", "-1"], "-1 leads to no revision"),
    (["downgrade", "concelier"], "Missing REVISION"),
    (["downgrade", "concelier", "concelier_0099"], "neither a target nor a revision"),
    (["upgrade", "--max-stal=1s"], "Did you mean one of: '--max-lag', '--max-stall'?"),
    (["upgarde"], "No such command 'upgarde'. Did you mean 'upgrade'?"),
    (["audit", "concelier", "-x"], "No such option '-x'"),
    (["upgrade", "--max-stall", "100"], "has no unit"),
    (["upgrade", "--max-stall", "0s"], "too short"),
    (["upgrade", "--max-stall=-1s"], "too short"),
    (["upgrade", "--deadline", "-5m"], "too short"),
    (["upgrade", "--lock-wait", "soon"], "is not a duration"),
    (["upgrade", "--deadline", "591h"], "too long"),
    (["wait", "--timeout", "5"], "has no unit"),
    (["upgrade", "--max-stall", "1h"], "--max-stall is longer than --deadline"),
    (["audit", "concelier", "--limit", "0"], "0 is not in the range"),
    (["audit", "concelier", "--limit", "-5"], "-5 is not in the range"),
    (["audit", "concelier", "--limit", "99999999999999999999"], "is not in the range"),
    (["history", "concelier", "--run", "99999999999999999999"], "is not a run number"),
    (["verify", "concelier", "--since", "99999999h"], "too long"),
    (["verify", "concelier", "--since", "24"], "'24' has no unit; write 24h or 24d"),
    (["verify", "concelier", "--since", "a day"], "is not a duration; write 100ms, 2s, 5m, 1h or 1d"),
    (["verify", "concelier", "--tenant", " "], "it is empty"),
    (["dedupe", "concelier", "--batch-rows", "501"], "501 is not in the range"),
    (["audit", "concelier", "--output", "/nonexistent/report"], "cannot be written"),
    (["audit", "concelier", "--format", "xml"], "'xml' is not one of"),
    (["audit", "nosuch"], "Unexpected argument 'nosuch'"),
    (["verify", "excititor"], "excititor is not configured"),
    (["chain", "dropp", "concelier"], "Unexpected argument 'dropp'"),
    (["chain", "concelier"], "has no chain yet"),
    (["nosuch"], "No such command"),
    (["revision", "concelier", "-m", " "], "-m needs a title"),
]


@pytest.mark.parametrize(("words", "sentence"), USAGE, ids=[" ".join(words) for words, _ in USAGE])
def test_wrong_usage_exits_2(words: list[str], sentence: str, concelier: Database, aoc: Aoc) -> None:
    """Wrong usage exits 2 with a sentence on stderr, prints no report and changes nothing."""
    aoc.configure(concelier)

    ran = aoc(*words)

    assert (ran.exit_code, ran.out) == (2, "")
    assert sentence in " ".join(ran.err.split())
    assert nothing_of_ours(concelier)


CONFIGURATION = [
    ({}, "No database is configured: set CONCELIER_DATABASE_URL"),
    ({"CONCELIER_DATABASE_URL": "nonsense"}, "is not a PostgreSQL URL"),
    (
        {"CONCELIER_DATABASE_URL_FILE": "/nonexistent"},
        "CONCELIER_DATABASE_URL_FILE=/nonexistent cannot be read",
    ),
    ({"CONCELIER_DATABASE_URL_FILE": "/dev/null"}, "CONCELIER_DATABASE_URL_FILE=/dev/null is empty"),
    ({"CONCELIER_DATABASE_URL_FILE": "/dev/zero"}, "/dev/zero cannot be read: it is longer than 64 kB"),
    ({"CONCELIER_DATABASE_URL": "postgresql://h/d", "CONCELIER_DATABASE_URL_FILE": "/x"}, "are both set"),
    (
        {
            "CONCELIER_DATABASE_URL": "postgresql://h/d",
            "EXCITITOR_DATABASE_URL": "postgresql+psycopg://h:5432/d",
        },
        "the same database and schema",
    ),
    (
        {"CONCELIER_DATABASE_URL": "postgresql://h/d", "AOC_ALLOW_SUPERSEDES_RETROFIT": "yes"},
        "AOC_ALLOW_SUPERSEDES_RETROFIT is neither true nor false",
    ),
]


@pytest.mark.parametrize(("environment", "sentence"), CONFIGURATION, ids=[s for _, s in CONFIGURATION])
def test_wrong_configuration_exits_2(environment: dict[str, str], sentence: str, aoc: Aoc) -> None:
    """A wrong configuration exits 2 before any connection."""
    ran = aoc("audit", **environment)

    assert (ran.exit_code, ran.out) == (2, "")
    assert sentence in ran.err


UNREACHABLE = [
    "postgresql://u:s3cret@127.0.0.1:1/concelier",
    "postgresql://u:s3cret@no.host.invalid/concelier",
]


@pytest.mark.parametrize("url", UNREACHABLE)
@pytest.mark.parametrize("command", ["audit", "upgrade", "verify", "status", "downgrade -1", "chain"])
def test_an_unreachable_server_exits_3(url: str, command: str, aoc: Aoc) -> None:
    """A server that does not answer means exit 3 and a finding in the report, without the password."""
    ran = aoc.json(*command.split(), CONCELIER_DATABASE_URL=url)

    assert (ran.exit_code, ran.slugs()) == (3, ["unreachable"])
    assert "s3cret" not in ran.out + ran.err


def test_a_wrong_password_exits_3_and_is_not_repeated(concelier: Database, aoc: Aoc) -> None:
    """A wrong password means exit 3, and is not printed."""
    url = concelier.url_as(concelier.connection.info.user, "wr@ng/pass word%")

    ran = aoc.json("upgrade", "concelier", CONCELIER_DATABASE_URL=url)

    assert (ran.exit_code, ran.slugs()) == (3, ["unreachable"])
    assert "wr@ng" not in ran.out + ran.err
    assert "password authentication failed" in ran.finding("unreachable")["problem"]


@pytest.mark.parametrize("password", ["p@ss/w rd%", "a:b?c#d", "100%", "%41", "ünï"])
def test_an_encoded_password_may_hold_anything(password: str, concelier: Database, aoc: Aoc) -> None:
    """A password works percent-encoded, whatever is in it; typed as it is, it is as libpq reads it, or refused."""
    concelier.run("DROP ROLE IF EXISTS odd")
    concelier.run(psycopg.sql.SQL("CREATE ROLE odd LOGIN SUPERUSER PASSWORD {}").format(password))
    info = concelier.connection.info
    encoded = concelier.url_as("odd", password)
    typed = f"postgresql://odd:{password}@{info.host}:{info.port}/{info.dbname}"

    ran = aoc("status", CONCELIER_DATABASE_URL=encoded)
    assert ran.exit_code == 0, ran.out + ran.err
    ran = aoc("status", CONCELIER_DATABASE_URL=typed)
    assert ran.exit_code == (0 if password in ("a:b?c#d", "ünï") else 3 if password == "%41" else 2), ran.err
    assert password not in ran.out + ran.err
    concelier.run("DROP ROLE odd")


def test_a_missing_table_is_not_created(empty_database: Database, aoc: Aoc) -> None:
    """Without the raw table, audit and `upgrade --no-create` exit 3 and create nothing."""
    aoc.configure(empty_database)

    for words in (["audit"], ["upgrade", "--no-create"]):
        ran = aoc.json(*words)
        assert (ran.exit_code, ran.slugs()) == (3, ["table-missing"])
    assert empty_database.value("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == 0


def test_a_missing_schema_is_not_created(concelier: Database, aoc: Aoc) -> None:
    """A missing schema is never created; the finding has the statement, quoted."""
    aoc.configure(concelier)

    ran = aoc.json("upgrade", CONCELIER_DATABASE_SCHEMA="My Schema")

    assert (ran.exit_code, ran.slugs()) == (3, ["schema-missing"])
    assert ran.finding("schema-missing")["help"] == 'Run: CREATE SCHEMA "My Schema";'


@pytest.mark.parametrize("revision", ["concelier_0099", "abc123"])
def test_an_unknown_revision_is_left_alone(revision: str, concelier: Database, aoc: Aoc) -> None:
    """A version table with a revision of another package or version is left alone."""
    concelier.run("CREATE TABLE aoc_alembic_version (version_num varchar(32) PRIMARY KEY)")
    concelier.run("INSERT INTO aoc_alembic_version VALUES (%s)", [revision])
    aoc.configure(concelier)

    for words in (["upgrade"], ["audit"], ["downgrade", "base"], ["verify"]):
        ran = aoc.json(*words)
        assert (ran.exit_code, ran.slugs()) == (1, ["unknown-revision"])
    assert concelier.rows("SELECT * FROM aoc_alembic_version") == [(revision,)]


@pytest.mark.parametrize("down", [False, True])
def test_the_other_targets_database_is_refused(down: bool, excititor: Database, aoc: Aoc) -> None:
    """Concelier's history is refused where excititor's is or was."""
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0
    if down:
        assert aoc("downgrade", "base").exit_code == 0

    ran = aoc.json("upgrade", "concelier", EXCITITOR_DATABASE_URL="", CONCELIER_DATABASE_URL=excititor.url)

    assert (ran.exit_code, ran.slugs()) == (1, ["wrong-database"])
    assert excititor.value("SELECT to_regclass('advisory_raw')") is None


def test_a_role_that_owns_nothing_is_refused(concelier: Database, aoc: Aoc) -> None:
    """A role that does not own the tables is refused, and each missing right has its remedy."""
    concelier.run("DROP ROLE IF EXISTS poor; CREATE ROLE poor LOGIN PASSWORD 'poor'")
    aoc.environment["CONCELIER_DATABASE_URL"] = concelier.url_as("poor", "poor")

    upgraded, audited = aoc.json("upgrade"), aoc.json("audit")

    assert (upgraded.exit_code, set(upgraded.slugs())) == (1, {"privileges"})
    actions = [f["problem"] for f in upgraded.report["findings"]]
    assert any("create tables in schema public" in action for action in actions)
    assert any("alter public.advisory_raw" in action for action in actions)
    assert (audited.exit_code, audited.slugs("error")) == (1, ["privileges"])
    assert nothing_of_ours(concelier)


def test_a_read_only_role_is_refused(concelier: Database, aoc: Aoc) -> None:
    """A role whose transactions are read-only is refused before anything is tried."""
    concelier.run("DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN SUPERUSER PASSWORD 'reader'")
    concelier.run("ALTER ROLE reader SET default_transaction_read_only = on")
    aoc.environment["CONCELIER_DATABASE_URL"] = concelier.url_as("reader", "reader")

    ran = aoc.json("upgrade")

    assert (ran.exit_code, ran.slugs()) == (1, ["read-only-role"])


def test_a_standby_is_refused_but_has_a_status(tmp_path_factory: pytest.TempPathFactory, aoc: Aoc) -> None:
    """On a read-only standby, upgrade exits 3 and names the remedy; status works."""
    folder = Path(os.path.realpath(tmp_path_factory.mktemp("s")))
    server = guarded_server(folder / "standby")
    server.start()
    server.stop()
    (folder / "standby" / "data" / "standby.signal").touch()
    server.start()
    try:
        url = server.url("postgres")
        ran = aoc.json("upgrade", CONCELIER_DATABASE_URL=url)
        assert (ran.exit_code, ran.slugs()) == (3, ["standby"])
        assert "primary" in ran.finding("standby")["help"]
        assert aoc("status", CONCELIER_DATABASE_URL=url).exit_code == 0
    finally:
        server.stop()


def test_hostile_ids_are_printed_escaped(concelier: Database, aoc: Aoc) -> None:
    """Control characters and markup in ids reach neither a terminal nor a Markdown table as such."""
    concelier.add("evil\x1b[31m|<b>`x`\n", tenant=None)
    aoc.configure(concelier)

    table, markdown = aoc("audit").out, aoc("audit", "--format", "markdown").out

    assert "\x1b" not in table + markdown
    assert "\\x1b[31m" in table
    assert "<b>" not in markdown.replace("\\<b\\>", "")
