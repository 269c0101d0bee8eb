"""How PostgreSQL plans a batch of the backfill on the largest table."""

import re

import click
import pytest

from aoc_migrate.cli.chain import chain
from aoc_migrate.cli.dedupe import dedupe
from aoc_migrate.cli.downgrade import downgrade
from aoc_migrate.cli.repair import repair
from aoc_migrate.cli.upgrade import upgrade
from aoc_migrate.contract.v1 import VEX_RAW
from aoc_migrate.database.batches import index_plans_only
from aoc_migrate.database.bookkeeping import JOURNAL, STATE
from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.own_tables import create
from aoc_migrate.database.relation import Schema
from aoc_migrate.database.session import connect
from aoc_migrate.database.targets import Target
from aoc_migrate.operations.supersedes.statements import MOST, batch
from tests.conftest import Aoc, Database
from tests.helpers import fill


def test_no_batch_is_larger_than_its_plan_knows() -> None:
    """--batch-rows allows no more rows than a batch's page can hold; otherwise the backfill would end too soon."""
    for command in (upgrade, downgrade, chain, repair, dedupe):
        (option,) = [p for p in command.params if p.name == "batch_rows"]
        assert isinstance(option.type, click.IntRange)
        assert option.type.max is not None
        assert option.type.max <= MOST


def test_a_plan_for_any_size_reads_a_page_by_key(excititor: Database, aoc: Aoc) -> None:
    """Planned once for all sizes, with memory to sort in, a batch on 10^8 rows reads its page in key order."""
    fill(excititor, 400)
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0005").exit_code == 0
    excititor.run(
        "UPDATE pg_class SET reltuples = 1e8, relpages = pg_relation_size(oid) / 8192 "
        "WHERE oid = 'vex_raw'::regclass"
    )
    statement = batch(VEX_RAW, Schema("public"), "excititor_0006", size="$1")
    with (
        connect(Target("excititor", excititor.url), "test", Limits(), Flags()) as session,
        index_plans_only(session),
    ):
        create(session, STATE, JOURNAL)
        session.set("work_mem", "2GB")
        session.run(f"PREPARE page (bigint) AS {statement}")
        plan = "\n".join(row["QUERY PLAN"] for row in session.rows("EXPLAIN EXECUTE page (20000)"))

    (expected,) = re.findall(r"CTE page\n.*rows=(\d+)", plan)
    assert int(expected) <= 20_001
    assert "Index Scan using vex_raw_chain_v1 on vex_raw" in plan
    assert not [name for name in ("Bitmap", "Seq Scan on vex_raw", "Merge Join", "Hash Join") if name in plan]


def test_an_error_of_a_batch_is_the_one_that_counts(excititor: Database) -> None:
    """If the connection is lost within a batch, the error of the batch is not replaced by that of cleaning up."""
    with (
        connect(Target("excititor", excititor.url), "test", Limits(), Flags()) as session,
        pytest.raises(ZeroDivisionError),
        index_plans_only(session),
    ):
        session.connection.close()
        raise ZeroDivisionError
