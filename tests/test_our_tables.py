"""Tables with our names that somebody else made or changed: none of their code runs."""

from collections.abc import Iterator

import pytest

from tests.conftest import Aoc, Database, Ran
from tests.fingerprint import fingerprint
from tests.helpers import psql
from tests.hostile import ran, role_of, stranger, trap
from tests.test_lifecycle import alembic

AT = "timestamptz NOT NULL DEFAULT now()"
PREMADE = {
    "aoc_alembic_version": "version_num varchar(32) NOT NULL PRIMARY KEY",
    "aoc_migration_hold": f"""one bool PRIMARY KEY DEFAULT true, command text NOT NULL, revision text,
        held_by text NOT NULL, held_at {AT}, finished bool NOT NULL, acknowledged bool NOT NULL""",
    "aoc_migration_state": f"name text PRIMARY KEY, value jsonb NOT NULL, recorded_at {AT}",
    "aoc_migration_log": f"""run bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, command text NOT NULL,
        from_revision text NOT NULL, goal text, revision text, role text NOT NULL DEFAULT current_user,
        host text NOT NULL, image text, ticket text, plan text, version text NOT NULL,
        server_version text NOT NULL DEFAULT '', pid int NOT NULL DEFAULT 1, started_at {AT}, seen_at {AT},
        ended_at timestamptz, outcome text, step text, findings text[] NOT NULL DEFAULT '{{}}', progress jsonb,
        steps jsonb NOT NULL DEFAULT '[]', controls jsonb, checksums jsonb NOT NULL DEFAULT '{{}}'""",
    "aoc_supersedes_journal": f"""batch bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, links text[] NOT NULL,
        tenant text, written_at {AT}""",
    "aoc_work_list": "id text, kept text, links text[], reason text, repair bool, refused bool, stuck bool",
    "advisory_raw_quarantine": f"""LIKE advisory_raw, quarantine_run bigint, quarantine_batch bigint,
        quarantine_reason text, quarantine_kept text, quarantine_links text[], quarantine_repaired jsonb,
        quarantine_at {AT}, quarantine_by text""",
}
MOVED = ("aoc_work_list", "advisory_raw_quarantine")


@pytest.fixture
def neighbour_role(concelier: Database, aoc: Aoc) -> Iterator[Database]:
    """A role with CREATE on the schema of a concelier that has two duplicates without links."""
    aoc.configure(concelier)
    aoc.environment["AOC_ALLOW_SUPERSEDES_RETROFIT"] = "true"
    concelier.add("1")
    concelier.add("2", content_hash=concelier.value("SELECT content_hash FROM advisory_raw"))
    concelier.add("3", retrieved_at="2025-02-01T00:00:00Z")
    rights = "GRANT CREATE, USAGE ON SCHEMA public TO {role}; GRANT SELECT ON advisory_raw TO {role}"
    with stranger(concelier, rights) as role:
        yield role


def premake(neighbour: Database, name: str, traps: str = "BEFORE INSERT OR UPDATE OR DELETE") -> None:
    """Make a table of ours as that role, with the columns that we make and a trigger that swallows rows."""
    neighbour.run(f"CREATE TABLE public.{name} ({PREMADE[name]}); GRANT ALL ON public.{name} TO PUBLIC")
    call = trap(neighbour)
    neighbour.run(f"CREATE TRIGGER t {traps} ON public.{name} FOR EACH ROW EXECUTE FUNCTION {call}")


def refused(ran_: Ran, name: str) -> str:
    """Say that a command ended with ``foreign-object`` of that name, exit code 1; return its help."""
    finding = ran_.finding("foreign-object")
    assert (ran_.exit_code, finding["subject"]) == (1, name)
    return str(finding["help"])


@pytest.mark.parametrize("name", PREMADE)
def test_a_strangers_table_stops_us(name: str, concelier: Database, neighbour_role: Database, aoc: Aoc) -> None:
    """Nothing runs, nothing changes; the remedy lets nobody into anybody's role."""
    premake(neighbour_role, name)
    before = fingerprint(concelier.connection, without="^$")
    commands = [["dedupe", "--apply"]] if name in MOVED else [["upgrade"], ["downgrade", "base"], ["verify"]]

    helps = [refused(aoc.json(command[0], "concelier", *command[1:]), name) for command in commands]

    assert not ran(neighbour_role)
    assert fingerprint(concelier.connection, without="^$") == before
    assert concelier.value("SELECT count(*) FROM advisory_raw") == 3
    assert all("GRANT" not in text and "ename or drop it" in text for text in helps)


@pytest.mark.alike
@pytest.mark.parametrize("name", [name for name in PREMADE if name not in MOVED])
@pytest.mark.parametrize("way", ["plan", "alembic"])
def test_printed_sql_stops_at_a_strangers_table(
    way: str, name: str, concelier: Database, neighbour_role: Database, aoc: Aoc
) -> None:
    """A script, and Alembic's own SQL, ends there too, before it reads or writes anything."""
    premake(neighbour_role, name)
    words = ("upgrade", "concelier_0002", "--sql")
    printed = aoc("plan", "concelier", "base:concelier_0002", "--sql").out
    if way == "alembic":
        printed = alembic(concelier, aoc, *words).out
    before = fingerprint(concelier.connection, without="^$")

    ended = psql(concelier, printed, "-v", "ON_ERROR_STOP=1")

    assert (ended.exit_code, f"{name} has one of our names" in ended.err) == (3, True)
    assert not ran(neighbour_role)
    assert fingerprint(concelier.connection, without="^$") == before


def test_the_trap_catches_an_insert(concelier: Database, neighbour_role: Database) -> None:
    """An INSERT into such a table runs the stranger's code and stores nothing: the test above can fail."""
    premake(neighbour_role, "aoc_migration_state")
    concelier.run("INSERT INTO aoc_migration_state VALUES ('x', '{}')")

    assert ran(neighbour_role)
    assert concelier.value("SELECT count(*) FROM aoc_migration_state") == 0


SHAPES = {
    "a view": ("CREATE VIEW public.{} AS SELECT 'x'::varchar(32) AS version_num", "not an ordinary table"),
    "unlogged": ("CREATE UNLOGGED TABLE public.{} (version_num varchar(32))", "not an ordinary table"),
    "a sequence": ("CREATE SEQUENCE public.{}", "not an ordinary table"),
    "other columns": ("CREATE TABLE public.{} (version_num varchar(32), more int)", "other columns"),
    "another type": ("CREATE TABLE public.{} (version_num text)", "other columns"),
    "a parent": (
        "CREATE TABLE public.{0} (version_num varchar(32)); CREATE TABLE kid () INHERITS (public.{0})",
        "a parent or a child",
    ),
    "a partition": (
        "CREATE TABLE mother (version_num varchar(32)) PARTITION BY LIST (version_num); "
        "CREATE TABLE public.{} PARTITION OF mother DEFAULT",
        "a parent or a child",
    ),
    "a rule": (
        "CREATE TABLE public.{0} (version_num varchar(32)); "
        "CREATE RULE r AS ON INSERT TO public.{0} DO INSTEAD NOTHING",
        "a rule",
    ),
    "a policy": (
        "CREATE TABLE public.{0} (version_num varchar(32)); CREATE POLICY p ON public.{0}",
        "row-level security",
    ),
    "referred to": (
        "CREATE TABLE public.{0} (version_num varchar(32) PRIMARY KEY); "
        "CREATE TABLE kid (v varchar(32) REFERENCES public.{0} ON DELETE CASCADE)",
        "a foreign key refers to it",
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_table_of_another_shape_is_refused(shape: str, excititor: Database, aoc: Aoc) -> None:
    """A table of our name must be the plain table that we make, even if a trusted role made it."""
    aoc.configure(excititor)
    made, reason = SHAPES[shape]
    excititor.run(made.format("aoc_alembic_version"))

    upgraded = aoc.json("upgrade")

    refused(upgraded, "aoc_alembic_version")
    assert reason in upgraded.finding("foreign-object")["problem"]


def test_no_right_on_a_strangers_table_is_asked_for(excititor: Database, aoc: Aoc) -> None:
    """If we may not even read a stranger's table, no finding asks for that right."""
    owning = "GRANT CREATE, USAGE ON SCHEMA public TO {role}; ALTER TABLE vex_raw OWNER TO {role}"
    with stranger(excititor) as role, stranger(excititor, owning, "owner") as owner:
        role.run(f"CREATE TABLE public.aoc_migration_log ({PREMADE['aoc_migration_log']})")
        aoc.environment["EXCITITOR_DATABASE_URL"] = excititor.url_as(role_of(owner), "s")
        upgraded = aoc.json("upgrade")
        excititor.run("ALTER TABLE vex_raw OWNER TO CURRENT_USER")

    assert upgraded.slugs() == ["foreign-object"]
    assert "GRANT" not in refused(upgraded, "aoc_migration_log")


def test_a_foreign_trigger_on_our_table_stops_us(excititor: Database, aoc: Aoc) -> None:
    """A role with TRIGGER on a table of ours stops us by using it; the remedy keeps the table."""
    aoc.configure(excititor)
    aoc("upgrade", "excititor_0003")
    with stranger(excititor, "GRANT CREATE, USAGE ON SCHEMA public TO {role}") as role:
        excititor.run(f"GRANT TRIGGER ON aoc_migration_log TO {role_of(role)}")
        role.run(f"CREATE TRIGGER t BEFORE INSERT ON aoc_migration_log EXECUTE FUNCTION {trap(role)}")
        upgraded = aoc.json("upgrade")
        excititor.run("DROP TRIGGER t ON aoc_migration_log")
        excititor.run(f"REVOKE TRIGGER ON aoc_migration_log FROM {role_of(role)}")

        assert "keep the table" in refused(upgraded, "aoc_migration_log")
        assert not ran(role)
    assert aoc("upgrade").exit_code == 0


def test_a_table_swapped_meanwhile_stops_us(concelier: Database, neighbour_role: Database, aoc: Aoc) -> None:
    """A schema owner who replaces our table half way stops us; nothing of the new table runs."""
    aoc("dedupe", "concelier", "--apply")
    concelier.run(f"ALTER SCHEMA public OWNER TO {role_of(neighbour_role)}")
    try:
        with concelier.connection.transaction():
            concelier.run("LOCK TABLE advisory_raw IN ACCESS SHARE MODE")
            running = aoc.start("upgrade", "concelier", "--format", "json")
            assert running.stderr is not None
            while (
                "gave up" not in running.stderr.readline()
            ):  # 0001 adds no column here, 0002 wants the strong lock
                assert running.poll() is None
            neighbour_role.run("DROP TABLE public.aoc_migration_log")
            premake(neighbour_role, "aoc_migration_log")
        out, _ = running.communicate(timeout=60)

        assert running.returncode == 1, out  # before its first step
        assert "foreign-object" in out
        assert not ran(neighbour_role)
    finally:
        concelier.run("ALTER SCHEMA public OWNER TO pg_database_owner")


@pytest.mark.parametrize("event", ["DELETE", "UPDATE"])
def test_a_batch_that_loses_rows_is_rolled_back(
    event: str, concelier: Database, neighbour_role: Database, aoc: Aoc
) -> None:
    """A batch is rolled back, and says so, unless all of its rows leave and arrive."""
    concelier.run(
        "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "
        f"CREATE TRIGGER swallow BEFORE {event} ON advisory_raw FOR EACH ROW EXECUTE FUNCTION swallow()"
    )
    concelier.add("4", source={"vendor": "osv", "severity": 1})
    words = ["dedupe", "concelier"] if event == "DELETE" else ["repair", "concelier", "--rule", "forbidden-key"]
    accepted = ["--accept", "move-trigger:swallow", "--accept", "needs-search-path:public.swallow()"]

    moved = aoc.json(*words, "--apply", *accepted)

    assert (moved.exit_code, moved.slugs("error")) == (4, ["rows-lost"])
    assert concelier.value("SELECT count(*) FROM advisory_raw") == 4
    assert concelier.value("SELECT count(*) FROM advisory_raw_quarantine") == 0


def test_a_foreign_guard_of_the_view_is_not_adopted(concelier: Database, aoc: Aoc) -> None:
    """A stranger's function in the place of the one that keeps the view read-only is reported, never adopted."""
    aoc.configure(concelier)
    aoc("upgrade")
    made = concelier.value("SELECT pg_get_functiondef('aoc_advisory_read_only'::regproc)")
    with stranger(concelier) as role:
        concelier.run("DROP FUNCTION aoc_advisory_read_only() CASCADE")
        role.run(made)
        concelier.run(
            "CREATE TRIGGER aoc_advisory_read_only INSTEAD OF INSERT OR UPDATE OR DELETE ON advisory "
            "FOR EACH ROW EXECUTE FUNCTION aoc_advisory_read_only()"
        )
        verified, upgraded = aoc.json("verify"), aoc.json("upgrade")
        concelier.run("DROP FUNCTION aoc_advisory_read_only() CASCADE")

    assert verified.slugs("error") == ["view-writable"]
    assert (upgraded.slugs("error"), upgraded.exit_code) == (["foreign-object"], 1)
    assert upgraded.finding("foreign-object")["subject"] == "aoc_advisory_read_only"
    assert aoc("upgrade").exit_code == 0
