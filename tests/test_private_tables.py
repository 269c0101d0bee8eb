"""Who may read and write our own tables, whatever default privileges and grants say."""

from collections.abc import Iterator

import pytest

from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint
from tests.helpers import psql
from tests.hostile import role_of, stranger
from tests.test_lifecycle import WAYS
from tests.test_operator_scripts import APPLY

OURS = (
    "aoc_alembic_version",
    "aoc_migration_hold",
    "aoc_migration_state",
    "aoc_migration_log",
    "aoc_supersedes_journal",
    "vex_raw_quarantine",
)
READ = {table: ["SELECT"] for table in OURS[:2]}
RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
READER = "GRANT USAGE ON SCHEMA public TO {role}; GRANT SELECT ON vex_raw TO {role}"


def rights(database: Database, role: str) -> dict[str, list[str]]:
    """Return what a role may do with each of our tables, and with the sequences that they use."""
    tables = {
        table: [
            right
            for right in RIGHTS
            if database.value("SELECT has_table_privilege(%s, to_regclass(%s), %s)", (role, table, right))
        ]
        for table in OURS
    }
    sequences = database.rows(
        "SELECT relname, has_sequence_privilege(%s, oid, 'USAGE, SELECT, UPDATE') FROM pg_class "
        "WHERE relkind = 'S' AND relname ~ '^aoc_'",
        (role,),
    )
    return {table: held for table, held in tables.items() if held} | {
        name: ["any"] for name, held in sequences if held
    }


@pytest.fixture
def favored_reader(excititor: Database, aoc: Aoc) -> Iterator[Database]:
    """A reader to whom default privileges give all rights on new tables; the raw table has duplicates."""
    aoc.configure(excititor)
    aoc.environment["AOC_ALLOW_SUPERSEDES_RETROFIT"] = "true"
    excititor.add("1")
    excititor.add("2", content_hash=excititor.value("SELECT content_hash FROM vex_raw"))
    excititor.add("3", retrieved_at="2025-02-01T00:00:00Z")
    every = "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON {} TO {{role}}, PUBLIC"
    with stranger(excititor, f"{READER}; {every.format('TABLES')}; {every.format('SEQUENCES')}") as role:
        yield role
        taken = every.replace("GRANT", "REVOKE").replace("TO {{role}}", "FROM {{role}}")
        for kind in ("TABLES", "SEQUENCES"):
            excititor.run(taken.format(kind).format(role=role_of(role)))


@pytest.mark.parametrize("way", ["command", "alembic", "psql"])
def test_default_privileges_give_nothing(
    way: str, excititor: Database, favored_reader: Database, aoc: Aoc
) -> None:
    """Our tables are private from their creation; a reader of the raw table reads only revision and hold."""
    assert aoc("dedupe", "--apply").exit_code == 0
    if way == "command":
        assert aoc("upgrade").exit_code == 0
    else:
        WAYS[way](excititor, aoc)("upgrade", "excititor_0007")

    assert excititor.value("SELECT count(*) FROM aoc_supersedes_journal") > 0
    assert rights(excititor, role_of(favored_reader)) == READ
    assert excititor.value("SELECT count(*) FROM vex_raw_quarantine") == 1


def test_a_reader_may_wait(excititor: Database, favored_reader: Database, aoc: Aoc) -> None:
    """Whoever may read the raw table may wait, without a GRANT of the operator, and sees a hold."""
    aoc("dedupe", "--apply")
    aoc("upgrade")
    aoc("downgrade", "-1")
    aoc.environment["EXCITITOR_DATABASE_URL"] = excititor.url_as(role_of(favored_reader), "s")

    waited = aoc.json("wait", "--timeout", "1s")

    assert (waited.exit_code, waited.slugs()) == (0, ["held"])


def test_a_later_reader_may_wait_after_the_next_upgrade(excititor: Database, aoc: Aoc) -> None:
    """A role that may read the raw table later can wait after the next upgrade, though nothing else is pending."""
    aoc.configure(excititor)
    aoc("upgrade")
    with stranger(excititor, READER) as role:
        before = rights(excititor, role_of(role))
        again = aoc.json("upgrade")

        assert before == {}
        assert (again.exit_code, rights(excititor, role_of(role))) == (0, READ)
        assert [step["statement"].split(" TO ")[0] for step in again.report["steps"]] == [
            "GRANT SELECT ON aoc_alembic_version, aoc_migration_hold"
        ]
    third = aoc.json("upgrade")
    assert (third.exit_code, third.report["changed"]) == (0, False)


def writable(database: Database, aoc: Aoc, grant: str) -> list[str]:
    """Give a stranger a right; return what verify, status and a pending upgrade say, with their exit codes."""
    with stranger(database, grant) as role:
        said = []
        for command in ("verify", "status", "upgrade"):
            ran = aoc.json(command)
            found = [f for f in ran.report["findings"] if f["slug"] == "bookkeeping-writable"]
            said += [f"{command} {ran.exit_code} {f['subject']} {f['help']}" for f in found]
        return [text.replace(role_of(role), "ROLE") for text in said]


@pytest.mark.alike
@pytest.mark.parametrize("right", ["INSERT", "UPDATE (value)", "TRIGGER", "TRUNCATE"])
def test_who_may_write_is_reported(right: str, excititor: Database, aoc: Aoc) -> None:
    """Each right of others to write a table of ours is an error of verify and stops a pending upgrade."""
    aoc.configure(excititor)
    aoc("upgrade", "excititor_0003")

    said = writable(excititor, aoc, f"GRANT {right} ON aoc_migration_state TO {{role}}")

    revoke = f"REVOKE {right.split(maxsplit=1)[0]} ON public.aoc_migration_state FROM ROLE;"
    assert [text.split()[0] for text in said] == ["verify", "status", "upgrade"]
    assert all(revoke in text for text in said)
    assert [text.split()[1] for text in said] == ["1", "1", "1"]
    assert excititor.value("SELECT version_num FROM aoc_alembic_version") == "excititor_0003"


@pytest.mark.parametrize("script", ["plan", "constraints"])
def test_no_upgrade_script_believes_what_others_may_write(script: str, excititor: Database, aoc: Aoc) -> None:
    """An upgrade script with work to do refuses, changes nothing and prints the REVOKE; then it runs."""
    aoc.configure(excititor)
    aoc("upgrade", "excititor_0003")
    printed = APPLY if script == "constraints" else aoc("plan", "excititor", "base:excititor_0004", "--sql").out
    with stranger(excititor, "GRANT UPDATE (value) ON aoc_migration_state TO {role}") as role:
        before = fingerprint(excititor.connection, without="^$")

        ran = psql(excititor, printed)

        revoke = f"REVOKE UPDATE ON public.aoc_migration_state FROM {role_of(role)};"
        assert (ran.exit_code, revoke in ran.err) == (3, True), ran.err
        assert fingerprint(excititor.connection, without="^$") == before
        excititor.run(revoke)
        assert psql(excititor, printed).exit_code == 0


def test_a_journal_that_others_may_write_is_not_used(
    excititor: Database, favored_reader: Database, aoc: Aoc
) -> None:
    """Links are not set back from a journal that others may write to, by any way; the REVOKE is printed."""
    role = role_of(favored_reader)
    aoc("dedupe", "--apply")
    aoc("upgrade")
    excititor.run(f"GRANT SELECT, UPDATE ON aoc_supersedes_journal TO {role}")
    favored_reader.run("UPDATE public.aoc_supersedes_journal SET links = array_fill('POISON'::text, ARRAY[1, 3])")
    links = excititor.rows("SELECT id, supersedes FROM vex_raw ORDER BY id")

    down = aoc.json("downgrade", "base")
    script = psql(excititor, aoc("plan", "excititor", "excititor_0007:base", "--sql").out)

    finding = down.finding("bookkeeping-writable")
    assert (down.exit_code, finding["subject"]) == (1, "aoc_supersedes_journal")
    assert f"REVOKE UPDATE ON public.aoc_supersedes_journal FROM {role};" in finding["help"]
    assert excititor.value("SELECT version_num FROM aoc_alembic_version") == "excititor_0007"
    assert (script.exit_code, "others may write to aoc_supersedes_journal" in script.err) == (3, True)
    assert excititor.rows("SELECT id, supersedes FROM vex_raw ORDER BY id") == links


def test_a_verifier_of_one_tenant_sees_no_other_ids(excititor: Database, aoc: Aoc) -> None:
    """It verifies, and in all that it may read there is no other tenant's id."""
    role = f"one_{excititor.connection.info.backend_pid}"
    aoc.configure(excititor)
    aoc.environment |= {"AOC_ALLOW_SUPERSEDES_RETROFIT": "true", "AOC_VERIFIER_USER": role}
    for n in range(3):
        excititor.add(f"mine-{n}", tenant="a", retrieved_at=f"2025-01-0{n + 1}T00:00:00Z")
        excititor.add(f"secret-{n}", tenant="b", retrieved_at=f"2025-01-0{n + 1}T00:00:00Z")
    excititor.run("ALTER TABLE vex_raw ENABLE ROW LEVEL SECURITY")
    aoc("upgrade")
    made = aoc("verifier", "create", "--tenant", "a")
    excititor.run(f"ALTER ROLE {role} PASSWORD 'v'")
    aoc.environment["EXCITITOR_DATABASE_URL"] = excititor.url_as(role, "v")
    try:
        verified = aoc.json("verify", AOC_ALLOW_SUPERSEDES_RETROFIT="false")

        assert (made.exit_code, verified.exit_code) == (0, 0), made.out + made.err + verified.out
        assert verified.report["facts"]["rows"] == 3
        assert "secret" not in verified.out + verified.err
        assert set(rights(excititor, role)) == set(OURS[:2])
        assert readable(excititor, role).count("mine-") > 0
        assert "secret" not in readable(excititor, role)
    finally:
        excititor.run(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def readable(database: Database, role: str) -> str:
    """Return all that a role may read in the schema, as text."""
    names = database.rows(
        "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN "
        "('r', 'v') AND has_any_column_privilege(%s, oid, 'SELECT')",
        (role,),
    )
    with database.connection.transaction(force_rollback=True):
        database.run(f"SET LOCAL ROLE {role}")
        return "\n".join(str(database.rows(f"SELECT t::text FROM {name} AS t")) for (name,) in names)
