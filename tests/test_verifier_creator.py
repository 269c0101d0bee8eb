"""Who creates the verifier: any role with CREATEROLE that owns the tables, which need not be a superuser."""

import pytest

from tests.conftest import Aoc, Database
from tests.postgres_versions import ADMIN_OPTION, has


def test_a_creator_that_may_not_act_as_the_verifier_creates_it(excititor: Database, aoc: Aoc) -> None:
    """Where the creator may not act as the new role, it is created, and a warning says what was not tried."""
    excititor.run(
        "CREATE ROLE creator LOGIN CREATEROLE PASSWORD 'planted secret'; ALTER TABLE vex_raw OWNER TO creator; "
        "GRANT USAGE, CREATE ON SCHEMA public TO creator; GRANT pg_monitor TO creator"
    )
    owner = Aoc({"EXCITITOR_DATABASE_URL": excititor.url_as("creator", "planted secret")})
    try:
        ran = owner.json("verifier", "create", AOC_VERIFIER_USER="a-verifier")

        assert (ran.exit_code, ran.slugs()) == (0, ["verifier-not-tried"])
    finally:
        aoc.configure(excititor)
        assert aoc("verifier", "drop", AOC_VERIFIER_USER="a-verifier").exit_code == 0
        excititor.run("REASSIGN OWNED BY creator TO CURRENT_USER; DROP OWNED BY creator; DROP ROLE creator")


@pytest.mark.parametrize("words", ["create", "drop"])
def test_the_verifier_of_another_role_is_left_alone(excititor: Database, aoc: Aoc, words: str) -> None:
    """Since PostgreSQL 16, who lacks ADMIN OPTION on an existing verifier learns it before anything changes."""
    excititor.run(
        "CREATE ROLE creator LOGIN CREATEROLE PASSWORD 'planted secret'; ALTER TABLE vex_raw OWNER TO creator; "
        'GRANT USAGE, CREATE ON SCHEMA public TO creator; GRANT pg_monitor TO creator; CREATE ROLE "a-verifier"'
    )
    newer = has(excititor.connection, ADMIN_OPTION)
    owner = Aoc({"EXCITITOR_DATABASE_URL": excititor.url_as("creator", "planted secret")})
    try:
        ran = owner.json("verifier", words, AOC_VERIFIER_USER="a-verifier")

        assert (ran.exit_code, ran.slugs("error")) == ((1, ["privileges"]) if newer else (0, [])), ran.out
        if newer:
            assert 'GRANT "a-verifier" TO creator WITH ADMIN OPTION' in ran.finding("privileges")["help"]
            assert not excititor.value("SELECT to_regclass('aoc_migration_log')")
    finally:
        aoc.configure(excititor)
        assert aoc("verifier", "drop", AOC_VERIFIER_USER="a-verifier").exit_code == 0
        excititor.run("REASSIGN OWNED BY creator TO CURRENT_USER; DROP OWNED BY creator; DROP ROLE creator")
