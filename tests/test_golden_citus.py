"""The SQL that ran on a Citus cluster, in tests/golden/citus, is the SQL of today's code; no cluster is needed."""

import re
from itertools import chain, product

import pytest

from aoc_migrate.contract.v1 import ADVISORY_RAW
from aoc_migrate.database.relation import Schema
from aoc_migrate.database.spread.cluster_instant import ONE_AFTER_THE_OTHER
from aoc_migrate.database.spread.commit import copy_nothing
from aoc_migrate.database.spread.shape import Placement, Spread
from aoc_migrate.database.worker_path import PIN
from aoc_migrate.inspect.cost import EACH_AS_A_TASK
from aoc_migrate.operations.collect import Collector
from aoc_migrate.operations.supersedes import distributed
from aoc_migrate.operations.supersedes.statements import count_links, done
from aoc_migrate.revisions.graph import history
from aoc_migrate.revisions.revision_sql import collect
from tests.citus.recorded import GOLDEN, read

SCHEMA, REVISION = Schema("public"), "concelier_0006"
CHANGE = re.compile(r"^(ALTER|CREATE|COMMENT|DO|DROP)|\b(INSERT INTO|UPDATE|DELETE FROM) ")
KEY = ("id", *ADVISORY_RAW.chain_key[1:])
RENDERED = {
    "the path": PIN,
    "plans": distributed.PLANS,
    "commands": ONE_AFTER_THE_OTHER,
    "a sample": EACH_AS_A_TASK,
    "a commit on all nodes": copy_nothing(SCHEMA[ADVISORY_RAW.table]),
    "a page": distributed.page(ADVISORY_RAW, SCHEMA),
    "the next tenant": distributed.next_tenant(ADVISORY_RAW, SCHEMA),
    "links of a page": distributed.write(ADVISORY_RAW, SCHEMA, KEY),
    "the journal": distributed.journal(SCHEMA),
    "the cursor": distributed.move_cursor(SCHEMA, REVISION),
    "links written": count_links(SCHEMA, REVISION, "%(rows)s::bigint"),
    "the end": done(SCHEMA, REVISION),
    "the latest links": distributed.latest(SCHEMA),
    "links set back": distributed.write(ADVISORY_RAW, SCHEMA),
    "a journal's row that is done": distributed.shorten(SCHEMA)[0],
    "a journal's row that is not": distributed.shorten(SCHEMA)[1],
    "links set back, counted": count_links(SCHEMA, REVISION, "-%(seen)s::bigint"),
}
"""What the code sends to a cluster alone, and what belongs to it, by what it is for."""


def sent(sql: str) -> str:
    """Return a statement as psycopg sends it: its parameters have numbers, in the order of their first use."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", sql)))
    return re.sub(r"%\((\w+)\)s", lambda m: f"${names.index(m[1]) + 1}", sql).replace("%%", "%") if names else sql


@pytest.mark.parametrize("what", RENDERED)
def test_the_code_has_the_recorded_statement(what: str) -> None:
    """Each statement that only a cluster gets is recorded as the code has it now."""
    assert sent(RENDERED[what]) in read(GOLDEN / "revisions.sql")


def test_every_recorded_change_is_one_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every recorded statement that changes anything is one of those, or a revision's for a distributed table."""
    spread = Spread(partitioned=False, placement=Placement.DISTRIBUTED, column="tenant")
    monkeypatch.setattr(Collector, "spread", lambda *_: spread)
    known = {sent(sql) for sql in RENDERED.values()}
    for revision, direction in product(history("concelier"), ("upgrade", "downgrade")):
        for step in chain.from_iterable(collect(revision, direction, SCHEMA, None)):
            known |= {*step.sql}
    changes = [sql for sql in read(GOLDEN / "revisions.sql") if CHANGE.search(sql) and "LOCK TABLE" not in sql]

    assert len(changes) > 20
    assert [sql for sql in changes if sql not in known] == []
