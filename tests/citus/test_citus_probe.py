"""The probe on a Citus cluster: every bad row is refused by its rule, and nothing is left of any."""

from collections.abc import Iterator

import psycopg

from tests.citus.clusters import Cluster
from tests.conftest import Aoc, Database
from tests.helpers import dump


def at_head(database: Database, aoc: Aoc, retrofit: dict[str, str]) -> Database:
    """Upgrade a database to head."""
    ran = aoc.json("upgrade", **retrofit)
    assert ran.exit_code == 0, (ran.out, ran.err)
    return database


def prepared_transactions(cluster: Cluster, database: str) -> Iterator[int]:
    """Yield the number of transactions that each node has prepared in a database."""
    for node in range(len(cluster.nodes)):
        with psycopg.connect(cluster.url(node, database)) as connection:
            row = connection.execute("SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()")
            yield from row.fetchone() or ()


def test_every_bad_row_is_refused_by_its_rule(
    shaped: Database, aoc: Aoc, cluster: Cluster, retrofit: dict[str, str]
) -> None:
    """The probe tries every bad row, leaves nothing on any node, and shows what gets in where rules are gone."""
    at_head(shaped, aoc, retrofit)
    for rows in range(2):
        before = dump(shaped)
        ran = aoc.json("verify", "--probe")

        facts = ran.report["facts"]
        assert (ran.exit_code, ran.slugs(), facts["probed"]) == (0, [], True), ran.report["findings"]
        (tried,) = [check for check in facts["checks"] if check["unit"] == "bad rows"]
        assert (tried["checked"] > 80, tried["failed"]) == (True, 0)
        assert dump(shaped) == before
        shaped.add(f"{rows}")
    assert set(prepared_transactions(cluster, shaped.connection.info.dbname)) == {0}
    for rule in ("objects", "content"):
        shaped.run(f"ALTER TABLE advisory_raw DROP CONSTRAINT advisory_raw_{rule}_v1")
    shaped.run("DROP INDEX advisory_raw_idempotency_v1")

    ran = aoc.json("verify", "--probe")

    accepted = " ".join(f["problem"] for f in ran.report["findings"] if f["slug"] == "probe-accepted")
    for what in ("severity in source", "identifiers is []", "cvss in content", "content is null", "a duplicate"):
        assert f"forbids: {what}." in accepted
    assert not {"probe-wrong-error", "probe-not-possible"} & set(ran.slugs())
    assert "blank tenant" not in accepted
    assert shaped.value("SELECT count(*) FROM advisory_raw") == 2


def test_another_rule_that_refuses_first_is_found(
    distributed: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """Where somebody's CHECK, whose name begins like ours, refuses before our rule does, the probe says so."""
    at_head(distributed, aoc, retrofit)
    distributed.run("ALTER TABLE advisory_raw DROP CONSTRAINT advisory_raw_content_v1")
    distributed.run(
        "ALTER TABLE advisory_raw ADD CONSTRAINT advisory_raw_content_v1_2 CHECK (NOT content ? 'cvss')"
    )

    ran = aoc.json("verify", "--probe")

    wrong = " ".join(f["problem"] for f in ran.report["findings"] if f["slug"] == "probe-wrong-error")
    assert "cvss in content" in wrong
    assert "advisory_raw_content_v1_2" in wrong


def test_columns_of_others_are_copied_from_a_short_row(
    distributed: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """A column that the contract does not know is copied from a row where it is short, quoted as it must be."""
    at_head(distributed, aoc, retrofit)
    distributed.run("ALTER TABLE advisory_raw ADD label text, ADD tags text[]")
    distributed.run("ALTER TABLE advisory_raw ADD CONSTRAINT theirs CHECK (label LIKE 'it''s%')")
    distributed.add("long", label="it's " + "x" * 100, tags="{a}")
    distributed.add("short", tenant="b", label="it's \\", tags='{a,"b\\""}')
    distributed.run("ALTER TABLE advisory_raw ALTER label SET NOT NULL")

    ran = aoc.json("verify", "--probe")

    assert (ran.slugs(), ran.report["facts"]["probed"]) == ([], True)
