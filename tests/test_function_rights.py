"""The functions of the rules: everybody may execute them, nobody may change them unseen."""

import re
from collections.abc import Iterator

import psycopg
import pytest

from tests.adversary import GOOD
from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint
from tests.test_predicates import insert

FUNCTION = "advisory_raw_objects_ok_v1"
NAMED = f"{FUNCTION}(jsonb, jsonb, jsonb, jsonb)"
CLOSED = "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC"


@pytest.fixture
def roles(concelier: Database) -> Iterator[dict[str, str]]:
    """A service that may INSERT, a reader, the owner of a planted thing; by what they are."""
    number = concelier.connection.info.backend_pid
    named = {what: f"{what}_{number}" for what in ("service", "reader", "stranger", "member")}
    for role in named.values():
        concelier.run(f"CREATE ROLE {role} LOGIN PASSWORD 'p'")
    concelier.run(f"GRANT INSERT ON advisory_raw TO {named['service']}")
    concelier.run(f"GRANT SELECT ON advisory_raw TO {named['reader']}")
    yield named
    for role in named.values():
        concelier.run(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def up(database: Database, aoc: Aoc) -> None:
    """Upgrade to head."""
    aoc.configure(database)
    assert aoc("upgrade").exit_code == 0


def store(database: Database, role: str, id_: str = "1") -> None:
    """Insert a good row as a role."""
    with psycopg.connect(database.url_as(role, "p"), autocommit=True) as connection:
        insert(Database(connection, database.table, database.target), GOOD | {"id": id_, "content_hash": id_})


def test_default_privileges_stop_no_writer(concelier: Database, roles: dict[str, str], aoc: Aoc) -> None:
    """Where nobody may execute new functions by default, the service can still write after the upgrade."""
    concelier.run(CLOSED)
    up(concelier, aoc)

    store(concelier, roles["service"])

    assert aoc.json("verify").slugs("error") == []
    concelier.run("CREATE FUNCTION closed() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    assert not concelier.value("SELECT has_function_privilege('public', 'closed()', 'EXECUTE')")


def test_a_revoked_execute_is_granted_again(concelier: Database, roles: dict[str, str], aoc: Aoc) -> None:
    """A revoked EXECUTE is found and names who may write but not execute; the next upgrade grants it again."""
    up(concelier, aoc)
    concelier.run(f"REVOKE EXECUTE ON FUNCTION {NAMED} FROM PUBLIC")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=FUNCTION):
        store(concelier, roles["service"])

    ran = aoc.json("verify")

    assert (ran.exit_code, ran.slugs("error")) == (1, ["function-not-executable"])
    found = ran.finding("function-not-executable")
    assert (found["subject"], roles["service"] in found["problem"]) == (FUNCTION, True)
    assert "pg_write_all_data" not in found["problem"]
    assert not [role for what, role in roles.items() if what != "service" and role in found["problem"]]
    again = aoc.json("upgrade")
    assert (again.exit_code, again.report["changed"]) == (0, True)
    assert [step["statement"][:14] for step in again.report["steps"]] == ["GRANT EXECUTE "]
    store(concelier, roles["service"])
    assert aoc.json("verify").slugs("error") == []


def test_the_printed_grant_repairs_it(concelier: Database, roles: dict[str, str], aoc: Aoc) -> None:
    """The GRANT that the finding prints is the one that is missing."""
    up(concelier, aoc)
    concelier.run(f"REVOKE EXECUTE ON FUNCTION {NAMED} FROM PUBLIC")

    help_ = aoc.json("verify").finding("function-not-executable")["help"]
    concelier.run(re.search(r"GRANT .*;", help_)[0])  # type: ignore[index]

    assert aoc.json("verify").slugs("error") == []
    store(concelier, roles["service"])


def test_a_grant_to_each_writer_is_enough(concelier: Database, roles: dict[str, str], aoc: Aoc) -> None:
    """Where all who may write may execute by a grant of their own, nothing is found or granted to PUBLIC again."""
    up(concelier, aoc)
    concelier.run(f"REVOKE EXECUTE ON FUNCTION {NAMED} FROM PUBLIC")
    concelier.run(f"GRANT EXECUTE ON FUNCTION {NAMED} TO {roles['service']}")

    assert aoc.json("verify").slugs("error") == []
    concelier.run("ALTER TABLE advisory_raw DROP CONSTRAINT advisory_raw_content_v1")
    assert aoc("upgrade").exit_code == 0
    assert not concelier.value("SELECT has_function_privilege('public', %s, 'EXECUTE')", [NAMED])
    store(concelier, roles["service"])


CHANGED = {
    "another body": "CREATE OR REPLACE FUNCTION {f}(source jsonb, upstream jsonb, linkset jsonb, "
    "identifiers jsonb) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS 'BEGIN RETURN true; END'",
    "another language": "CREATE OR REPLACE FUNCTION {f}(source jsonb, upstream jsonb, linkset jsonb, "
    "identifiers jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT true'",
    "a setting": "ALTER FUNCTION {f} SET search_path = evil",
    "another setting": "ALTER FUNCTION {f} SET plpgsql.variable_conflict = use_column",
    "volatile": "ALTER FUNCTION {f} VOLATILE",
    "strict": "ALTER FUNCTION {f} STRICT",
    "parallel unsafe": "ALTER FUNCTION {f} PARALLEL UNSAFE",
    "security definer": "ALTER FUNCTION {f} SECURITY DEFINER",
    "leakproof": "ALTER FUNCTION {f} LEAKPROOF",
    "a stranger's": "GRANT CREATE ON SCHEMA public TO {stranger}; ALTER FUNCTION {f} OWNER TO {stranger}",
}


@pytest.mark.alike
@pytest.mark.parametrize("case", CHANGED)
def test_a_changed_function_is_found(case: str, concelier: Database, roles: dict[str, str], aoc: Aoc) -> None:
    """A function with another body, another property or an owner who is not trusted is found."""
    up(concelier, aoc)
    concelier.run(CHANGED[case].format(f=FUNCTION, **roles))

    ran = aoc.json("verify")

    assert (ran.exit_code, ran.slugs("error")) == (1, ["changed-constraint"])
    assert ran.finding("changed-constraint")["subject"] == "advisory_raw.advisory_raw_objects_v1"


@pytest.mark.parametrize("owner", ["a superuser", "a member", "the table's owner"])
def test_a_trusted_owner_is_accepted(owner: str, concelier: Database, roles: dict[str, str], aoc: Aoc) -> None:
    """An owner who may do with the table what its owner may is fine; `pg_restore --no-owner` makes such."""
    concelier.run(f"GRANT CREATE ON SCHEMA public TO {roles['member']}, {roles['stranger']}")
    if owner == "a superuser":
        concelier.run(f"ALTER ROLE {roles['member']} SUPERUSER")
    else:
        concelier.run(f"ALTER TABLE advisory_raw OWNER TO {roles['stranger']}")
    if owner == "a member":
        concelier.run(f"GRANT {roles['stranger']} TO {roles['member']}")
    up(concelier, aoc)
    taken = roles["stranger" if owner == "the table's owner" else "member"]
    for (function,) in concelier.rows("SELECT oid::regprocedure FROM pg_proc WHERE proname ~ '_ok_v1$'"):
        concelier.run(f"ALTER FUNCTION {function} OWNER TO {taken}")

    ran = aoc.json("verify")

    assert (ran.exit_code, ran.slugs("error")) == (0, [])
    concelier.run("ALTER TABLE advisory_raw OWNER TO CURRENT_USER")


PLANTED = """
CREATE FUNCTION {f}(source jsonb, upstream jsonb, linkset jsonb, identifiers jsonb) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $planted${body}$planted$;
"""


def genuine(database: Database, aoc: Aoc) -> str:
    """Return the body of the contract's function; the database is at base afterwards."""
    up(database, aoc)
    body = str(database.value("SELECT prosrc FROM pg_proc WHERE proname = %s", [FUNCTION]))
    assert aoc("downgrade", "base").exit_code == 0
    database.run("DROP TABLE aoc_migration_state, aoc_migration_hold, aoc_alembic_version, aoc_migration_log")
    return body


@pytest.mark.parametrize("body", ["BEGIN RETURN true; END", "the genuine one"])
def test_a_planted_function_stops_an_upgrade(
    body: str, concelier: Database, roles: dict[str, str], aoc: Aoc
) -> None:
    """A function of our name that another role made stops audit and upgrade, and nothing is changed."""
    text = genuine(concelier, aoc) if body == "the genuine one" else body
    concelier.run(f"GRANT CREATE ON SCHEMA public TO {roles['stranger']}")
    with psycopg.connect(concelier.url_as(roles["stranger"], "p"), autocommit=True) as stranger:
        stranger.execute(PLANTED.format(f=FUNCTION, body=text).encode())
    aoc.configure(concelier)
    before = fingerprint(concelier.connection, without="^$")

    audited, upgraded = aoc.json("audit"), aoc.json("upgrade")

    assert (audited.exit_code, audited.slugs("error")) == (1, ["foreign-object"])
    assert (upgraded.exit_code, upgraded.slugs("error")) == (1, ["foreign-object"])
    assert FUNCTION in upgraded.finding("foreign-object")["subject"]
    after = [line for line in fingerprint(concelier.connection, without="^$") if "aoc_migration_log" not in line]
    assert after == before


SETTINGS = {
    "quote_all_identifiers": "on",
    "search_path": "evil, public",
    "DateStyle": "'German, DMY'",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "IntervalStyle": "sql_standard",
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "check_function_bodies": "off",
    "lc_messages": "'C'",
    "xmloption": "document",
    "transform_null_equals": "on",
    "plpgsql.extra_errors": "'all'",
    "row_security": "off",
    "session_replication_role": "replica",
}


@pytest.mark.alike
@pytest.mark.parametrize("setting", SETTINGS)
def test_session_settings_change_nothing(
    setting: str, concelier: Database, roles: dict[str, str], aoc: Aoc
) -> None:
    """Up, verify and what verify finds do not depend on what role or database set for the session."""
    role = roles["member"]
    concelier.run(f"ALTER ROLE {role} SUPERUSER; ALTER ROLE {role} SET {setting} = {SETTINGS[setting]}")
    aoc.environment["CONCELIER_DATABASE_URL"] = concelier.url_as(role, "p")
    assert aoc("upgrade").exit_code == 0
    same = [aoc.json("verify", CONCELIER_DATABASE_URL=url) for url in (concelier.url, concelier.url_as(role, "p"))]
    assert [ran.slugs("error") for ran in same] == [[], []]

    concelier.run(CHANGED["another body"].format(f=FUNCTION))

    assert aoc.json("verify").slugs("error") == ["changed-constraint"]
    concelier.run(f"REASSIGN OWNED BY {role} TO CURRENT_USER")


OVERLOAD = """
CREATE FUNCTION advisory_raw_keys_ok_v1(
  id text, tenant varchar, source_vendor text, upstream_id text, content_hash text, retrieved_at timestamptz
) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $planted$
BEGIN RAISE WARNING 'planted, as %', session_user; RETURN true; END $planted$;
"""


def test_a_planted_overload_is_never_called(concelier: Database, roles: dict[str, str], aoc: Aoc) -> None:
    """A stranger's function of our name that fits the columns' types better than ours is never called."""
    concelier.run("ALTER TABLE advisory_raw ALTER tenant TYPE varchar")
    concelier.run(f"GRANT CREATE ON SCHEMA public TO {roles['stranger']}")
    with psycopg.connect(concelier.url_as(roles["stranger"], "p"), autocommit=True) as stranger:
        stranger.execute(OVERLOAD)
    store(concelier, roles["service"])
    aoc.configure(concelier)

    ran = aoc("upgrade")

    assert "planted" not in ran.err
    assert ran.exit_code == 0, ran.out
    with pytest.raises(psycopg.errors.CheckViolation):
        insert(concelier, GOOD | {"id": "bad", "tenant": " "})
    assert aoc.json("verify").slugs("error") == []
