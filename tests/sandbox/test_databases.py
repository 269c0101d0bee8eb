"""The databases as a deployment has them before the contract."""

from typing import Any

import psycopg

from aoc_migrate.contract.v1 import ADVISORY_RAW
from aoc_migrate.sandbox.databases import create_legacy_advisory, prepare
from aoc_migrate.sandbox.server import Server


def test_the_raw_tables_have_the_columns_before_the_contract(prepared_server: Server) -> None:
    """The raw tables have every column of the contract but supersedes, and only id is required."""
    with psycopg.connect(prepared_server.url("concelier")) as connection:
        columns = connection.execute(
            "SELECT attname, attnotnull FROM pg_attribute WHERE attrelid = 'advisory_raw'::regclass AND attnum > 0"
        ).fetchall()

    assert {name for name, _ in columns} == {column.name for column in ADVISORY_RAW.columns} - {"supersedes"}
    assert [name for name, required in columns if required] == ["id"]


def test_preparing_again_changes_nothing(prepared_server: Server) -> None:
    """Preparing again changes nothing."""
    prepare(prepared_server)

    with psycopg.connect(prepared_server.url("concelier")) as connection:
        assert connection.execute("SELECT FROM advisory").rowcount == 50
        assert connection.execute("SELECT FROM advisory_titles").rowcount == 50


def test_the_legacy_table_has_rights_to_carry_over(raw_tables: psycopg.Connection[Any]) -> None:
    """The legacy table has what a swap must carry over: owner, grant option, column right, comment."""
    create_legacy_advisory(raw_tables)
    table = raw_tables.execute(
        "SELECT relowner::regrole::text, relacl::text, obj_description(oid) FROM pg_class"
        " WHERE oid = 'advisory'::regclass"
    ).fetchone()
    column = raw_tables.execute(
        "SELECT attacl::text FROM pg_attribute WHERE attrelid = 'advisory'::regclass AND attname = 'title'"
    ).fetchone()

    assert table is not None and column is not None
    assert table[0] == "stella_concelier"
    assert "stella_reader=r*/stella_concelier" in table[1]
    assert "Aggregation-Only" in table[2]
    assert 'stella-console\\"=r/' in column[0]
