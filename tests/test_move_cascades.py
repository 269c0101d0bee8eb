"""Moving a row changes no other row: what a foreign key would delete or change with it stops the work first."""

import pytest

from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint
from tests.helpers import psql
from tests.test_dedupe import chain, quarantined, rows

ACTIONS = ("CASCADE", "SET NULL", "SET DEFAULT")


@pytest.mark.alike
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("owner", ["", "console"], ids=["trusted", "untrusted"])
def test_nothing_moves_under_a_key_that_follows(
    owner: str, action: str, target_with_chain: Database, aoc: Aoc
) -> None:
    """A foreign key that deletes or changes what refers to a moved row stops dedupe, whoever owns its table."""
    database, role = target_with_chain, f"console_{target_with_chain.connection.info.backend_pid}"
    chain(database)
    database.run(f"CREATE TABLE notes (about text DEFAULT 'other' REFERENCES {database.table} ON DELETE {action})")
    database.run("INSERT INTO notes VALUES ('4B')")
    if owner:
        database.run(f"CREATE ROLE {role}; ALTER TABLE notes OWNER TO {role}")
        database.run(f"GRANT SELECT, REFERENCES ON {database.table} TO {role}")
    before = rows(database)

    accepted = ("--accept", "foreign-key-owner:public.notes")
    shown, ran = (aoc.json("dedupe", database.target, *accepted, *words) for words in ((), ("--apply",)))

    for each in (shown, ran):
        assert (each.exit_code, each.slugs("error"), each.report["changed"]) == (1, ["move-cascades"], False)
        assert f"ON DELETE {action}" in each.finding("move-cascades")["problem"]
    assert (rows(database), quarantined(database), database.rows("SELECT * FROM notes")) == (before, [], [("4B",)])
    database.run(ran.finding("move-cascades")["help"].rpartition(": ")[2])
    assert aoc("dedupe", database.target, "--apply").exit_code == 0
    if owner:
        database.run(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_it_does_not_matter_what_refers_now(target_with_chain: Database, aoc: Aoc) -> None:
    """Such a key stops dedupe even while no row refers to one that moves: a row could come in meanwhile."""
    chain(target_with_chain)
    target_with_chain.run(
        f"CREATE TABLE notes (about text REFERENCES {target_with_chain.table} ON DELETE CASCADE)"
    )

    ran = aoc.json("dedupe", target_with_chain.target, "--apply")

    assert (ran.exit_code, ran.slugs("error")) == (1, ["move-cascades"])


def test_no_row_follows_the_one_that_it_links_to(excititor: Database, aoc: Aoc) -> None:
    """A key of the links themselves that cascades stops repair: a row would be gone that is nowhere kept."""
    excititor.run("ALTER TABLE vex_raw ADD supersedes text")
    excititor.add("b", tenant=None)
    excititor.add("c", tenant=None, supersedes="b")
    excititor.run("ALTER TABLE vex_raw ADD FOREIGN KEY (supersedes) REFERENCES vex_raw ON DELETE CASCADE")
    excititor.run("ALTER TABLE vex_raw ADD CONSTRAINT filled CHECK (tenant IS NOT NULL) NOT VALID")
    aoc.configure(excititor)

    ran = aoc.json("repair", "excititor", "--rule", "all", "--apply", "--batch-rows", "1")

    assert (ran.exit_code, ran.slugs("error")) == (1, ["move-cascades"])
    assert excititor.rows("SELECT id FROM vex_raw ORDER BY id") == [("b",), ("c",)]


def test_repairs_that_move_nothing_go_on(excititor: Database, aoc: Aoc) -> None:
    """Such a key stops no repair that leaves each row where it is."""
    excititor.add("a", identifiers="null")
    excititor.run("CREATE TABLE notes (about text REFERENCES vex_raw ON DELETE CASCADE)")
    excititor.run("INSERT INTO notes VALUES ('a')")
    aoc.configure(excititor)

    ran = aoc.json("repair", "excititor", "--rule", "all", "--apply")

    assert (ran.exit_code, ran.report["facts"]["repaired"]) == (0, 1)
    assert excititor.rows("SELECT about FROM notes") == [("a",)]


def test_foreign_keys_hold_while_rows_move(excititor: Database, aoc: Aoc) -> None:
    """Even if the role's sessions begin as those of replicas, no row moves that a table of others refers to."""
    role = f"console_{excititor.connection.info.backend_pid}"
    excititor.run(f"CREATE ROLE {role}; CREATE TABLE notes (about text REFERENCES vex_raw)")
    for n in range(2):
        excititor.add(f"{n}", upstream_id="CVE-1", content_hash="h", retrieved_at=f"2025-01-0{n + 1}T00:00:00Z")
    excititor.run(f"INSERT INTO notes VALUES ('1'); ALTER TABLE notes OWNER TO {role}")
    excititor.run(f"GRANT SELECT, REFERENCES ON vex_raw TO {role}")
    aoc.configure(excititor)

    accepted = "foreign-key-owner:public.notes"
    ran = aoc.json(
        *("dedupe", "excititor", "--apply", "--accept", accepted), PGOPTIONS="-c session_replication_role=replica"
    )
    left = excititor.rows("SELECT id FROM vex_raw ORDER BY id")
    excititor.run(f"DROP OWNED BY {role}; DROP ROLE {role}")

    assert (ran.exit_code, ran.slugs("error"), left) == (4, ["step-failed"], [("0",), ("1",)])


def test_a_role_that_foreign_keys_ignore_changes_nothing(excititor: Database, aoc: Aoc) -> None:
    """A role whose sessions are those of replicas, and that may not change it, is refused, also by a script."""
    role = f"loader_{excititor.connection.info.backend_pid}"
    excititor.run(f"CREATE ROLE {role} LOGIN PASSWORD 'l'; ALTER TABLE vex_raw OWNER TO {role}")
    excititor.run(
        f"ALTER ROLE {role} SET session_replication_role = replica; GRANT CREATE ON SCHEMA public TO {role}"
    )
    aoc.environment["EXCITITOR_DATABASE_URL"] = excititor.url_as(role, "l")
    before = fingerprint(excititor.connection, without="^$")

    tried = [aoc.json(*words) for words in (["upgrade"], ["dedupe", "excititor", "--apply"])]
    script = psql(
        excititor,
        f"SET SESSION AUTHORIZATION {role};\n{aoc('plan', 'excititor', '--sql').out}",
        PGOPTIONS="-c session_replication_role=replica",
    )

    for ran in tried:
        assert (ran.exit_code, ran.slugs("error")) == (1, ["replica-role"])
    assert (script.exit_code, "no foreign key would hold" in script.err) == (3, True)
    assert fingerprint(excititor.connection, without="^$") == before
    excititor.run(tried[0].finding("replica-role")["help"].rpartition(": ")[2])
    assert aoc("upgrade").exit_code == 0
    excititor.run(f"REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}")
