"""What would refuse the links of the backfill, or set back ones, is found before anything is changed."""

import pytest

from tests.conftest import Aoc, Database
from tests.helpers import psql
from tests.link_refusals import FITTING_INDEXES, LONG, REFUSING_INDEXES, chain_of_two, refused
from tests.partitions import partition

pytestmark = pytest.mark.alike
PUBLISHED = "CREATE PUBLICATION feed FOR TABLE vex_raw"
REPLACED = "ALTER TABLE vex_raw DROP supersedes, ADD supersedes"
STATEMENT = {
    "update-rule INSTEAD": ("CREATE RULE keep AS ON UPDATE TO vex_raw DO INSTEAD NOTHING", "rule keep"),
    "update-rule WHERE": ("CREATE RULE keep AS ON UPDATE TO vex_raw WHERE true DO INSTEAD NOTHING", "rule keep"),
    "update-rule ALSO": (
        "CREATE TABLE seen (id text); "
        "CREATE RULE keep AS ON UPDATE TO vex_raw DO ALSO INSERT INTO seen VALUES (OLD.id)",
        "rule keep",
    ),
    "replica-identity NOTHING": (f"{PUBLISHED}; ALTER TABLE vex_raw REPLICA IDENTITY NOTHING", "publication feed"),
    "replica-identity of all tables": (
        "CREATE PUBLICATION feed FOR ALL TABLES; ALTER TABLE vex_raw REPLICA IDENTITY NOTHING",
        "publication feed",
    ),
    "replica-identity of a schema": (
        "CREATE PUBLICATION feed FOR TABLES IN SCHEMA public; ALTER TABLE vex_raw REPLICA IDENTITY NOTHING",
        "publication feed",
    ),
    "replica-identity DEFAULT": (
        f"{PUBLISHED}; ALTER TABLE vex_raw DROP CONSTRAINT vex_raw_pkey, ADD UNIQUE (id), ALTER id SET NOT NULL",
        "publication feed",
    ),
    "replica-identity of a dropped index": (
        f"{PUBLISHED}; CREATE UNIQUE INDEX kept ON vex_raw (id); "
        "ALTER TABLE vex_raw REPLICA IDENTITY USING INDEX kept; DROP INDEX kept",
        "publication feed",
    ),
    "replica-identity and row filter": (f"{PUBLISHED} WHERE (tenant = 'default')", "row filter"),
    "replica-identity and columns": (f"{PUBLISHED} (tenant)", "column list"),
    "replica-identity FULL and columns": (
        f"{PUBLISHED} (id, tenant); ALTER TABLE vex_raw REPLICA IDENTITY FULL",
        "column list",
    ),
    "link-generated": (f"{REPLACED} text GENERATED ALWAYS AS (NULL::text) STORED", "generated column"),
}
ROWS = {
    "a short type": (f"{REPLACED} varchar(20)", "character varying(20) is too short"),
    "a CHECK": ("ALTER TABLE vex_raw ADD CHECK (supersedes IS NULL)", "CHECK vex_raw_supersedes_check"),
    "a CHECK that is not validated": (
        "ALTER TABLE vex_raw ADD CONSTRAINT never CHECK (tenant = 'x') NOT VALID",
        "CHECK never",
    ),
    "a foreign key": (
        "CREATE TABLE known (id text PRIMARY KEY); "
        "ALTER TABLE vex_raw ADD CONSTRAINT known FOREIGN KEY (supersedes) REFERENCES known",
        "foreign key known refers to public.known",
    ),
    **REFUSING_INDEXES,
}
PUBLISHABLE = [
    PUBLISHED,
    f"{PUBLISHED}; ALTER TABLE vex_raw REPLICA IDENTITY FULL",
    f"{PUBLISHED} (id, tenant) WHERE (id <> '')",
    f"{PUBLISHED} WITH (publish = 'insert'); ALTER TABLE vex_raw REPLICA IDENTITY NOTHING",
    "CREATE PUBLICATION feed FOR ALL TABLES; ALTER TABLE vex_raw SET UNLOGGED, REPLICA IDENTITY NOTHING",
]
FITTING = [
    "CREATE RULE keep AS ON UPDATE TO vex_raw DO INSTEAD NOTHING; ALTER TABLE vex_raw DISABLE RULE keep",
    "CREATE RULE keep AS ON DELETE TO vex_raw DO INSTEAD NOTHING",
    f"{REPLACED} varchar(60)",
    "ALTER TABLE vex_raw ADD CHECK (supersedes <> id), ADD CHECK (tenant IS NOT NULL)",
    "ALTER TABLE vex_raw ADD FOREIGN KEY (supersedes) REFERENCES vex_raw",
    "ALTER TABLE vex_raw ADD CHECK (vex_raw IS NOT NULL OR id <> '')",
    *FITTING_INDEXES,
]


@pytest.fixture
def linked(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> Database:
    """A chain of two revisions without a link, ready for the upgrade."""
    return chain_of_two(excititor, aoc, retrofit)


@pytest.mark.parametrize("case", STATEMENT)
def test_what_refuses_every_update_is_found(case: str, linked: Database, aoc: Aoc) -> None:
    """What makes every UPDATE fail is found by the audit, even if no row needs a link."""
    obstacle, reason = STATEMENT[case]
    linked.run(obstacle)

    slug = case.split(maxsplit=1)[0]
    refused(linked, aoc, slug, reason)
    linked.run("TRUNCATE vex_raw")
    assert slug in aoc.json("audit").slugs("error")


@pytest.mark.parametrize("case", ROWS)
def test_what_refuses_a_link_is_found(case: str, linked: Database, aoc: Aoc) -> None:
    """What refuses a link that must be stored is found by the audit, with a remedy that works."""
    obstacle, reason = ROWS[case]
    linked.run(obstacle)

    linked.run(refused(linked, aoc, "link-refused", reason).removeprefix("Run: "))

    assert aoc("upgrade").exit_code == 0


@pytest.mark.parametrize("case", ROWS)
def test_it_does_not_matter_where_no_row_needs_a_link(case: str, linked: Database, aoc: Aoc) -> None:
    """A type, a CHECK or an index stops nothing if no row needs a link."""
    linked.run(f"DELETE FROM vex_raw WHERE id = '{LONG}1'; {ROWS[case][0]}")
    linked.run("UPDATE vex_raw SET supersedes = NULL WHERE supersedes IS NOT NULL")

    assert aoc("upgrade").exit_code == 0


def test_a_link_column_that_is_not_null_is_found(linked: Database, aoc: Aoc) -> None:
    """NOT NULL forbids the missing link of a first revision; the remedy drops it, with its default."""
    linked.run(f"{REPLACED} text NOT NULL DEFAULT ''")

    linked.run(refused(linked, aoc, "link-refused", "it is NOT NULL").removeprefix("Run: "))

    assert aoc("upgrade").exit_code == 0
    assert linked.rows("SELECT supersedes FROM vex_raw ORDER BY id") == [(None,), (f"{LONG}0",)]


@pytest.mark.parametrize("case", FITTING)
def test_what_allows_the_links_is_no_obstacle(case: str, linked: Database, aoc: Aoc) -> None:
    """A fitting rule, type, CHECK or index stops nothing: the backfill and its downgrade run."""
    linked.run(case)

    upgraded = aoc.json("upgrade")

    assert (upgraded.exit_code, upgraded.slugs("error")) == (0, [])
    assert aoc("downgrade", "base").exit_code == 0


@pytest.mark.parametrize("case", PUBLISHABLE)
def test_a_fitting_replica_identity_is_no_obstacle(case: str, linked: Database, aoc: Aoc) -> None:
    """PostgreSQL accepts the UPDATE wherever the audit accepts the replica identity."""
    linked.run(case)

    assert "replica-identity" not in aoc.json("audit").slugs()
    linked.run("UPDATE vex_raw SET supersedes = NULL")


@pytest.mark.parametrize("root", [True, False])
def test_a_partition_has_its_own_replica_identity(root: bool, excititor: Database, aoc: Aoc) -> None:
    """What counts is the replica identity of each partition, also if updates are published as the table's."""
    partition(excititor.connection, "vex_raw")
    excititor.run(f"{PUBLISHED} WITH (publish_via_partition_root = {root})")
    aoc.configure(excititor)
    before = aoc.json("audit").slugs()
    excititor.run("ALTER TABLE vex_raw_rest REPLICA IDENTITY NOTHING")

    audited, upgraded = aoc.json("audit"), aoc.json("upgrade")

    assert ("replica-identity" in before, upgraded.exit_code, upgraded.report["changed"]) == (False, 1, False)
    assert audited.finding("replica-identity")["subject"] == "public.vex_raw_rest"
    excititor.run("ALTER TABLE vex_raw_rest REPLICA IDENTITY DEFAULT")
    assert "replica-identity" not in aoc.json("audit").slugs()


def test_a_partition_has_its_own_constraints(linked: Database, aoc: Aoc) -> None:
    """A CHECK of one partition refuses the links of that partition's rows, and of no other."""
    partition(linked.connection, "vex_raw")
    for n in range(6):
        linked.add(f"{n}", tenant="ax"[n % 2], retrieved_at=f"2025-01-0{n + 1}T00:00:00Z")
    linked.run("ALTER TABLE vex_raw_rest ADD CONSTRAINT never CHECK (supersedes IS NULL)")

    found = aoc.json("audit").finding("link-refused")

    assert (found["rows"], "CHECK never" in found["problem"]) == (2, True)


OBSTACLES = {
    "update-rule": (STATEMENT["update-rule INSTEAD"][0], "DROP RULE keep ON vex_raw"),
    "replica-identity": (STATEMENT["replica-identity NOTHING"][0], "DROP PUBLICATION feed"),
    "link-refused": (
        "ALTER TABLE vex_raw ADD CONSTRAINT always CHECK (supersedes IS NOT NULL) NOT VALID",
        "ALTER TABLE vex_raw DROP CONSTRAINT always",
    ),
}


@pytest.mark.parametrize("slug", OBSTACLES)
def test_the_way_back_is_checked_as_well(slug: str, linked: Database, aoc: Aoc) -> None:
    """What would refuse the old links stops a downgrade, and its script, before they change anything."""
    assert aoc("upgrade").exit_code == 0
    obstacle, remedy = OBSTACLES[slug]
    linked.run(obstacle)
    planned = aoc("plan", "excititor", "head:base", "--sql").out

    ran, script = aoc.json("downgrade", "base"), psql(linked, planned)
    chained = aoc.json("chain", "excititor", "--apply")

    assert (ran.exit_code, slug in ran.slugs("error"), ran.report["changed"]) == (1, True, False)
    assert (script.exit_code, "nothing was changed" in script.err) == (3, True)
    assert chained.exit_code == (0 if slug == "link-refused" else 1)
    assert linked.value("SELECT count(supersedes) FROM vex_raw") == 1
    linked.run(remedy)
    assert aoc("downgrade", "base").exit_code == 0
    assert linked.value("SELECT count(supersedes) FROM vex_raw") == 0


@pytest.mark.parametrize(
    "planted",
    [
        "ALTER TABLE vex_raw ADD CONSTRAINT planted CHECK (planted.no(supersedes))",
        "UPDATE vex_raw SET supersedes = id; "
        "CREATE UNIQUE INDEX once ON vex_raw (supersedes) WHERE NOT planted.no(supersedes)",
    ],
    ids=["check", "index"],
)
def test_an_untrusted_condition_is_not_evaluated(planted: str, linked: Database, aoc: Aoc) -> None:
    """A CHECK or an index that runs code of others is only evaluated if somebody accepts that code."""
    role = f"planter_{linked.connection.info.backend_pid}"
    linked.run(
        f"CREATE ROLE {role}; CREATE SCHEMA planted AUTHORIZATION {role}; "
        "CREATE FUNCTION planted.no(t text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql "
        "SET search_path = pg_catalog AS 'BEGIN RETURN t IS NULL; END'; "
        f"ALTER FUNCTION planted.no OWNER TO {role}; "
        f"{planted}"
    )
    accepted = ["--accept", "foreign-code:planted.no(text)"]

    audited, again = aoc.json("audit"), aoc.json("audit", *accepted)
    linked.run(f"DROP SCHEMA planted CASCADE; DROP ROLE {role}")

    assert (audited.slugs("error"), again.slugs("error")) == (["foreign-code"], ["link-refused"])


def test_old_links_that_are_alike_are_found(linked: Database, aoc: Aoc) -> None:
    """Old links that an index allows only once stop the downgrade and its script before they change anything."""
    linked.run("UPDATE vex_raw SET supersedes = 'unknown'")
    assert aoc("upgrade").exit_code == 0
    linked.run("CREATE UNIQUE INDEX once ON vex_raw (supersedes) WHERE supersedes IS NOT NULL")

    script = psql(linked, aoc("plan", "excititor", "head:base", "--sql").out)
    ran = aoc.json("downgrade", "base")

    assert (ran.exit_code, ran.slugs("error"), ran.report["changed"]) == (1, ["link-refused"], False)
    assert ran.finding("link-refused")["rows"] == 2
    assert (script.exit_code, "unique index public.once" in script.err) == (3, True)
    linked.run("DROP INDEX once")
    assert aoc("downgrade", "base").exit_code == 0
    assert linked.value("SELECT count(*) FROM vex_raw WHERE supersedes = 'unknown'") == 2
