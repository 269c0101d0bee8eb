"""The rights that an upgrade needs in the schemas of partitions."""

import pytest

from tests.conftest import Aoc, Database
from tests.partitions import loosen

PARTS = """
CREATE SCHEMA "Cold parts";
CREATE TABLE "Cold parts".vex_a PARTITION OF vex_raw FOR VALUES IN ('a');
CREATE TABLE vex_b PARTITION OF vex_raw FOR VALUES IN ('b');
DROP ROLE IF EXISTS parts_owner; CREATE ROLE parts_owner LOGIN PASSWORD 's';
GRANT USAGE, CREATE ON SCHEMA public TO parts_owner;
ALTER TABLE vex_raw OWNER TO parts_owner;
ALTER TABLE vex_b OWNER TO parts_owner;
ALTER TABLE "Cold parts".vex_a OWNER TO parts_owner;
"""


@pytest.mark.parametrize("given", ["nothing", "USAGE"])
def test_create_in_the_schema_of_a_partition_is_needed(given: str, excititor: Database, aoc: Aoc) -> None:
    """A role that may make no index in the schema of a partition is refused first, and what it says is enough."""
    loosen(excititor.connection, PARTS)
    if given != "nothing":
        excititor.run('GRANT USAGE ON SCHEMA "Cold parts" TO parts_owner')
    aoc.environment["EXCITITOR_DATABASE_URL"] = excititor.url_as("parts_owner", "s")
    try:
        ran = aoc.json("upgrade")
        excititor.run(ran.finding("privileges")["help"].removeprefix("Run: "))
        assert aoc("upgrade").exit_code == 0
        assert aoc("downgrade", "base").exit_code == 0
    finally:
        excititor.run("DROP OWNED BY parts_owner CASCADE; DROP ROLE parts_owner")

    assert (ran.exit_code, ran.slugs("error"), ran.report["changed"]) == (1, ["privileges"], False)
