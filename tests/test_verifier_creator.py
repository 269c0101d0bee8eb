"""Who creates the verifier: any role with CREATEROLE that owns the tables, which need not be a superuser."""

from tests.conftest import Aoc, Database


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
