"""Publications and subscriptions are found before anything is changed, where the change concerns them."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import Aoc, Database, Ran
from tests.fingerprint import fingerprint
from tests.helpers import psql
from tests.partitions import partition
from tests.test_operator_scripts import APPLY

RAW, LEGACY, OURS = "published-table:advisory_raw", "published-table:advisory", "published-bookkeeping:feed"
PUBLICATIONS = {
    "FOR TABLE advisory_raw": [RAW],
    "FOR TABLE advisory_raw (id, tenant)": [RAW],
    "FOR TABLE advisory_raw, advisory": [LEGACY, RAW],
    "FOR TABLE note": [],
    "FOR TABLES IN SCHEMA elsewhere": [],
    "FOR TABLES IN SCHEMA public": [OURS, LEGACY, RAW],
    "FOR ALL TABLES": [OURS, LEGACY, RAW],
}


def errors(ran: Ran) -> list[str]:
    """Return the errors of a report as --accept takes them."""
    return [f"{f['slug']}:{f['subject']}" for f in ran.report["findings"] if f["severity"] == "error"]


def accepting(*names: str) -> list[str]:
    """Return the options that accept these findings."""
    return [word for name in names for word in ("--accept", name)]


def publish(database: Database, publication: str) -> None:
    """Create the publication feed, among tables and a schema that are none of our business."""
    database.run("CREATE TABLE note (id text PRIMARY KEY); CREATE SCHEMA elsewhere")
    database.run("CREATE TABLE elsewhere.advisory_raw (LIKE advisory_raw); CREATE TABLE elsewhere.seen (id int)")
    database.run(f"CREATE PUBLICATION feed {publication}")


@pytest.mark.alike
@pytest.mark.parametrize("publication", PUBLICATIONS)
def test_what_is_published_is_refused_until_accepted(publication: str, concelier: Database, aoc: Aoc) -> None:
    """Each published table that changes is an error; accepting all of them lets the upgrade go on."""
    publish(concelier, publication)
    expected = PUBLICATIONS[publication]
    before = fingerprint(concelier.connection)
    aoc.configure(concelier)

    audited = aoc.json("audit")
    refused = aoc.json("upgrade", *accepting(*expected[1:]))

    assert errors(audited) == expected
    assert errors(refused) == expected[:1]
    if expected:
        assert (refused.exit_code, fingerprint(concelier.connection)) == (1, before)
        assert aoc("upgrade", *accepting(*expected)).exit_code == 0
    assert (refused.exit_code, errors(aoc.json("audit"))) == (1 if expected else 0, [])
    assert aoc("downgrade", "base", *accepting("published-table:advisory_backup_20251028")).exit_code == 0


@pytest.mark.parametrize("goal", ["concelier_0001", "concelier_0005", "concelier_0007"])
def test_only_what_the_goal_changes_is_refused(goal: str, concelier: Database, aoc: Aoc) -> None:
    """Short of the view swap, only the raw table matters; once it is linked, not even that."""
    publish(concelier, "FOR TABLE advisory_raw, advisory")
    aoc.configure(concelier)

    assert errors(aoc.json("upgrade", goal)) == [RAW]
    assert aoc("upgrade", goal, *accepting(RAW)).exit_code == 0
    assert errors(aoc.json("audit")) == ([LEGACY] if goal == "concelier_0007" else [LEGACY, RAW])


def test_a_published_partition_is_found(concelier: Database, aoc: Aoc) -> None:
    """A publication of a partition is one of the raw table."""
    partition(concelier.connection, "advisory_raw")
    concelier.run("CREATE PUBLICATION feed FOR TABLE advisory_raw_rest")
    aoc.configure(concelier)

    assert errors(aoc.json("audit")) == [RAW]


@pytest.mark.parametrize(
    "publication",
    [
        "FOR ALL TABLES WITH (publish = 'insert, delete')",
        "FOR ALL TABLES WITH (publish_via_partition_root)",
        "FOR TABLES IN SCHEMA public, TABLE elsewhere.seen",
        "FOR TABLES IN SCHEMA public, TABLES IN SCHEMA elsewhere",
    ],
)
def test_the_statements_keep_what_is_published(publication: str, concelier: Database, aoc: Aoc) -> None:
    """After the statements of the finding, the publication is as before, and covers no new table."""
    known = (
        "SELECT array_agg(format('%s.%s', schemaname, tablename) ORDER BY 1), "
        "(SELECT (pubowner, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot)::text FROM pg_publication) "
        "FROM (SELECT DISTINCT schemaname, tablename FROM pg_publication_tables ORDER BY 1, 2) AS t"
    )
    concelier.run("CREATE TABLE parts (id int) PARTITION BY LIST (id); CREATE UNLOGGED TABLE lost (id int)")
    concelier.run('CREATE TABLE "odd name" PARTITION OF parts DEFAULT')
    publish(concelier, publication)
    aoc.configure(concelier)
    before = concelier.rows(known)

    help_ = next(f for f in aoc.json("audit").report["findings"] if f["slug"] == "published-bookkeeping")["help"]
    concelier.run(help_[help_.index("BEGIN;") : help_.index("COMMIT;")] + "COMMIT;")

    assert concelier.rows(known) == before
    concelier.run("CREATE TABLE aoc_alembic_version (id int)")
    assert concelier.rows(known) == before
    concelier.run("DROP TABLE aoc_alembic_version")
    assert OURS not in errors(aoc.json("audit"))


def test_a_subscription_is_refused_until_accepted(concelier: Database, aoc: Aoc) -> None:
    """Tables that receive changes are errors, our own too; accepting them lets the upgrade go on."""
    aoc.configure(concelier)
    assert aoc("upgrade", "concelier_0001").exit_code == 0
    log, legacy, raw = names = [
        "subscribed-bookkeeping:aoc_migration_log",
        "subscribed-table:advisory",
        "subscribed-table:advisory_raw",
    ]

    with subscribed(concelier, "advisory_raw", "advisory", "aoc_migration_log"):
        audited = aoc.json("audit")
        assert (audited.exit_code, errors(audited)) == (1, names)
        assert errors(aoc.json("upgrade", "concelier_0007", *accepting(log, legacy))) == [raw]
        assert aoc("upgrade", *accepting(*names)).exit_code == 0
        assert errors(aoc.json("audit", *accepting(log))) == []
        backup = "subscribed-table:advisory_backup_20251028"
        assert errors(aoc.json("downgrade", "-1", *accepting(log))) == [backup]
        assert aoc("downgrade", "-1", *accepting(log, backup)).exit_code == 0


@contextmanager
def subscribed(database: Database, *tables: str) -> Iterator[None]:
    """Have a subscription to these tables, through which nothing arrives."""
    database.run("CREATE SUBSCRIPTION feeding CONNECTION 'dbname=none' PUBLICATION feed WITH (connect = false)")
    for table in tables:
        database.run(
            "INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate) "
            f"SELECT oid, '{table}'::regclass, 'r' FROM pg_subscription"
        )
    try:
        yield
    finally:
        database.run("ALTER SUBSCRIPTION feeding SET (slot_name = NONE)")
        database.run("DROP SUBSCRIPTION feeding")


@pytest.mark.parametrize("command", ["dedupe", "repair --rule all"])
def test_a_quarantine_is_not_published_by_accident(command: str, concelier: Database, aoc: Aoc) -> None:
    """Before a quarantine is made, a publication of all tables is an error, until accepted."""
    concelier.add("1", content_hash="same")
    concelier.add("2", content_hash="same")
    concelier.add("3", tenant=None)
    publish(concelier, "FOR ALL TABLES")
    aoc.configure(concelier)

    refused = aoc.json(*command.split(), "--apply")
    accepted = aoc.json(*command.split(), "--apply", "--accept", OURS)

    assert (refused.exit_code, errors(refused), refused.report["changed"]) == (1, [OURS], False)
    assert "advisory_raw_quarantine" in refused.finding("published-bookkeeping")["problem"]
    assert accepted.exit_code == 0


def test_the_scripts_find_the_same(concelier: Database, aoc: Aoc) -> None:
    """The psql scripts refuse what is published, up and down, until it is accepted."""
    publish(concelier, "FOR TABLES IN SCHEMA public")
    aoc.configure(concelier)
    up, down = (aoc("plan", "concelier", span, "--sql").out for span in ("base:head", "head:base"))
    before = fingerprint(concelier.connection)

    for script, names in ((APPLY, [OURS, RAW]), (up, [OURS, LEGACY, RAW])):
        refused = psql(concelier, script)
        assert refused.exit_code == 3
        assert [line.split(" (")[0].split("WARNING:  ")[1] for line in refused.err.splitlines()[:-1]] == [
            name.replace(":", ": ") for name in names
        ]
        assert fingerprint(concelier.connection) == before
    ran = psql(concelier, up, "-v", f"accept={OURS},{LEGACY},{RAW}")
    assert ran.exit_code == 0, ran.err
    refused = psql(concelier, down)
    assert "published-table: advisory_backup_20251028 (feed)" in refused.err
    assert psql(concelier, down, "-v", "accept=published-table:advisory_backup_20251028").exit_code == 0
