"""Logical replication: a publisher and its subscriber go through an upgrade and a downgrade, and neither stops."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from aoc_migrate.sandbox.databases import create_legacy_advisory, create_raw_table
from aoc_migrate.sandbox.server import Server
from tests.conftest import Aoc, Database
from tests.helpers import wait_until
from tests.servers import running_server

BACKUP = "advisory_backup_20251028"


@dataclass
class Side:
    """The publisher or the subscriber: its database, and the command on it."""

    server: Server
    database: Database
    retrofit: dict[str, str]

    def aoc(self, *words: str) -> Any:
        """Run a command here, with the report as JSON."""
        command = Aoc({"CONCELIER_DATABASE_URL": self.server.url("concelier"), **self.retrofit})
        return command.json(*words)


@dataclass
class Sides:
    """A publisher, and a subscriber with the same tables."""

    publisher: Side
    subscriber: Side

    def begin(self, publication: str) -> None:
        """Publish, and subscribe; the subscriber then has what the publisher has."""
        self.publisher.database.run(f"CREATE PUBLICATION feed {publication}")
        source = make_conninfo(self.publisher.server.url("concelier"))
        self.subscriber.database.run(f"CREATE SUBSCRIPTION feeding CONNECTION '{source}' PUBLICATION feed")
        synced = "SELECT NOT EXISTS (SELECT FROM pg_subscription_rel WHERE srsubstate <> 'r')"
        wait_until(lambda: bool(self.subscriber.database.value(synced)))

    def caught_up(self) -> bool:
        """Write a row, and return whether it arrives, after everything before it."""
        self.publisher.database.add(f"mark {self.publisher.database.value('SELECT txid_current()')}")
        count = "SELECT count(*) FROM advisory_raw"
        expected = self.publisher.database.value(count)
        wait_until(lambda: bool(self.subscriber.database.value(count) == expected))
        return True

    def stopped(self) -> bool:
        """Write a row, and return whether the subscriber fails to apply what arrives."""
        self.publisher.database.add(f"mark {self.publisher.database.value('SELECT txid_current()')}")
        errors = "SELECT apply_error_count > 0 FROM pg_stat_subscription_stats WHERE subname = 'feeding'"
        wait_until(lambda: bool(self.subscriber.database.value(errors)))
        return True


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    """Two servers."""
    with running_server() as one, running_server() as other:
        yield one, other


@pytest.fixture
def sides(servers: tuple[Server, Server], retrofit: dict[str, str]) -> Iterator[Sides]:
    """A database before the contract on each server."""
    both = []
    for server in servers:
        with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
            admin.execute("CREATE DATABASE concelier")
        connection = psycopg.connect(server.url("concelier"), autocommit=True)
        create_raw_table(connection, "advisory_raw")
        create_legacy_advisory(connection)
        both.append(Side(server, Database(connection, "advisory_raw", "concelier"), retrofit))
    publisher, subscriber = both
    subscriber.database.run("TRUNCATE advisory")
    for n in range(1, 6):
        publisher.database.add(str(n), retrieved_at=f"2025-01-0{n}T00:00:00Z")
    yield Sides(publisher, subscriber)
    if subscriber.database.value("SELECT count(*) FROM pg_subscription"):
        subscriber.database.run("DROP SUBSCRIPTION feeding")
    for side in both:
        side.database.connection.close()
        with psycopg.connect(side.server.url("postgres"), autocommit=True) as admin:
            admin.execute("DROP DATABASE concelier WITH (FORCE)")


def remedies(ran: Any, slug: str, subject: str) -> list[str]:
    """Return the statements that the help of a finding asks for, in their order."""
    (found,) = [f for f in ran.report["findings"] if (f["slug"], f["subject"]) == (slug, subject)]
    return [part.rpartition(": ")[2].strip() + ";" for part in found["help"].split(";")[:-1]]


def linked(side: Side) -> list[Any]:
    """Return every row with its link."""
    return side.database.rows("SELECT id, supersedes FROM advisory_raw ORDER BY id")


def test_the_remedies_in_their_order_stop_neither_side(sides: Sides) -> None:
    """What the findings ask for, in order, takes both sides up and down while changes go on arriving."""
    publisher, subscriber = sides.publisher, sides.subscriber
    sides.begin("FOR TABLE advisory_raw, advisory")
    accept = [f"--accept={slug}:advisory_raw" for slug in ("published-table", "subscribed-table")]

    refused = publisher.aoc("upgrade")
    (drop, refresh), (add,) = (
        remedies(refused, "published-table", table) for table in ("advisory", "advisory_raw")
    )
    publisher.database.run(drop)
    subscriber.database.run(refresh.replace("NAME", "feeding"))
    subscriber.database.run(add)
    upgraded = publisher.aoc("upgrade", accept[0])

    assert (refused.exit_code, refused.slugs("error"), refused.report["changed"]) == (
        1,
        ["published-table"] * 2,
        False,
    )
    assert (upgraded.exit_code, upgraded.slugs("error")) == (0, [])
    assert sides.caught_up()
    assert linked(publisher) == linked(subscriber)
    held_back = subscriber.aoc("upgrade")
    followed = subscriber.aoc("upgrade", accept[1])
    assert [(f["slug"], f["subject"]) for f in held_back.report["findings"] if f["severity"] == "error"] == [
        ("subscribed-table", "advisory_raw")
    ]
    assert (followed.exit_code, followed.slugs("error")) == (0, [])
    assert sides.caught_up()
    assert [side.aoc("verify").exit_code for side in (publisher, subscriber)] == [0, 0]
    assert [side.aoc("downgrade", "base").exit_code for side in (subscriber, publisher)] == [0, 0]
    assert sides.caught_up()


def test_a_new_column_stops_a_subscriber_that_lacks_it(sides: Sides) -> None:
    """Accepted too early, the upgrade stops the subscriber; the column that it lacks starts it again."""
    sides.begin("FOR TABLE advisory_raw")

    upgraded = sides.publisher.aoc("upgrade", "--accept", "published-table:advisory_raw")

    assert upgraded.exit_code == 0
    assert sides.stopped()
    sides.subscriber.database.run("ALTER TABLE advisory_raw ADD COLUMN supersedes text")
    assert sides.caught_up()


def test_a_dirty_row_stops_a_subscriber_that_is_ahead(sides: Sides) -> None:
    """A subscriber that is upgraded first stops at the first row that the publisher still accepts."""
    sides.begin("FOR TABLE advisory_raw")
    assert sides.subscriber.aoc("upgrade", "--accept", "subscribed-table:advisory_raw").exit_code == 0

    sides.publisher.database.add("dirty", tenant="")

    assert sides.stopped()


def test_our_tables_are_kept_out_of_a_publication_of_all(sides: Sides) -> None:
    """A publication of all tables is made to name those of the services; ours then stop no subscriber."""
    publisher, subscriber = sides.publisher, sides.subscriber
    sides.begin("FOR ALL TABLES")
    assert sides.caught_up()

    ran = publisher.aoc("audit")
    *listing, refresh = remedies(ran, "published-bookkeeping", "feed")
    drop, refresh_again = remedies(ran, "published-table", "advisory")
    publisher.database.run(" ".join(listing))
    subscriber.database.run(refresh.replace("NAME", "feeding"))
    publisher.database.run(drop)
    subscriber.database.run(refresh_again.replace("NAME", "feeding"))
    subscriber.database.run(remedies(ran, "published-table", "advisory_raw")[0])
    upgraded = publisher.aoc("upgrade", "--accept", "published-table:advisory_raw")

    assert (upgraded.exit_code, upgraded.slugs("error")) == (0, [])
    assert sides.caught_up()
    assert subscriber.database.value("SELECT to_regclass('aoc_alembic_version')") is None


def test_our_tables_stop_a_subscriber_of_all(sides: Sides) -> None:
    """Accepted without more, our tables stop a subscriber of all tables, which does not have them."""
    sides.begin("FOR ALL TABLES")
    sides.subscriber.database.run("ALTER TABLE advisory_raw ADD COLUMN supersedes text")
    accept = ("published-table:advisory_raw", "published-table:advisory", "published-bookkeeping:feed")

    upgraded = sides.publisher.aoc("upgrade", *[word for name in accept for word in ("--accept", name)])

    assert (upgraded.exit_code, upgraded.slugs("error")) == (0, [])
    assert sides.stopped()


def test_a_renamed_table_stops_nothing_where_both_rename_it(sides: Sides) -> None:
    """A legacy table that stays published is renamed on the subscriber too, on the way up and on the way down."""
    publisher, subscriber = sides.publisher, sides.subscriber
    sides.begin("FOR TABLE advisory")
    write = "UPDATE {} SET title = 'written' WHERE id = 'CVE-2024-20001'"
    arrived = "SELECT EXISTS (SELECT FROM {} WHERE title = 'written')"

    assert publisher.aoc("upgrade", "--accept", "published-table:advisory").exit_code == 0
    subscriber.database.run(f"ALTER TABLE advisory RENAME TO {BACKUP}")
    publisher.database.run(write.format(BACKUP))
    wait_until(lambda: bool(subscriber.database.value(arrived.format(BACKUP))))
    refused = publisher.aoc("downgrade", "-1")
    down = publisher.aoc("downgrade", "-1", "--accept", f"published-table:{BACKUP}")

    assert (refused.exit_code, refused.slugs("error"), refused.report["changed"]) == (
        1,
        ["published-table"],
        False,
    )
    assert down.exit_code == 0
    publisher.database.run(write.format("advisory"))
    assert sides.stopped()
    subscriber.database.run(f"ALTER TABLE {BACKUP} RENAME TO advisory")
    wait_until(lambda: bool(subscriber.database.value(arrived.format("advisory"))))
