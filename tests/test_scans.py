"""How often a table is read, by PostgreSQL's own counters: no more than the command needs."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from aoc_migrate.contract.v1 import VEX_RAW
from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.session import Session, connect
from aoc_migrate.database.targets import Target
from aoc_migrate.inspect.chain_links import verify_chain
from aoc_migrate.inspect.chain_scope import Scope
from aoc_migrate.inspect.duplicates import judged_duplicates
from aoc_migrate.inspect.row_rules import row_rules, row_scan
from aoc_migrate.inspect.row_scan import broken_rules
from aoc_migrate.quarantine.contents import journaled_in_quarantine
from aoc_migrate.quarantine.repair_rules import RULES, collisions
from aoc_migrate.run.audit import audit, audit_plan
from tests.conftest import ROOT, Aoc, Database
from tests.helpers import counted, fill, scans

TOAST = (
    "SELECT toast_blks_read + toast_blks_hit + tidx_blks_read + tidx_blks_hit "
    "FROM pg_statio_user_tables WHERE relname = 'vex_raw'"
)


@contextmanager
def session_of(database: Database) -> Iterator[Session]:
    """Open a session as the commands do; its counters are reported with each statement."""
    with connect(Target(database.target, database.url), "test", Limits(), Flags()) as session:
        yield session


def alembic(database: Database, revision: str) -> tuple[int, int]:
    """Upgrade with stock Alembic, which audits and verifies nothing; return scans, and reads of TOAST."""
    before = scans(database), counted(database, TOAST)
    command = [sys.executable, "-m", "alembic", "-n", "excititor", "upgrade", revision]
    environment = Aoc({"EXCITITOR_DATABASE_URL": database.url}).env()
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    return scans(database) - before[0], counted(database, TOAST) - before[1]


def test_one_scan_proves_all_rules(excititor: Database) -> None:
    """0003 proves every rule but one and sets NOT NULL in one scan without a document; 0007 takes one more."""
    for n in range(20):
        excititor.add(f"{n}", upstream_id=f"{n}")
    excititor.run(
        "UPDATE vex_raw SET content = jsonb_build_object('raw', ("
        "SELECT string_agg(md5(id || n), '') FROM generate_series(1, 300) AS n))"
    )
    assert excititor.value("SELECT pg_relation_size(reltoastrelid) > 0 FROM pg_class WHERE relname = 'vex_raw'")
    alembic(excititor, "excititor_0002")

    proof = alembic(excititor, "excititor_0003")
    alembic(excititor, "excititor_0006")
    last = alembic(excititor, "excititor_0007")

    assert proof == (1, 0)
    assert last[0] == 1
    assert last[1] >= 20
    definition = excititor.value(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'vex_raw_content_v1'"
    )
    assert len(re.findall(r"\bcontent\b", definition)) == 1


def test_what_the_catalog_proves_is_not_read_again(
    excititor: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """At base, the audit reads the rows once for rules and duplicates; at 0004 and 0006, for the last rule."""
    fill(excititor, 50)
    excititor.run("UPDATE vex_raw SET content_hash = 'sha256:' || encode(sha256(id::bytea), 'hex')")
    aoc.configure(excititor)
    seen = {}

    for revision in ("base", "excititor_0004", "excititor_0006"):
        if revision != "base":
            assert aoc("upgrade", "excititor", revision, **retrofit).exit_code == 0
        before = scans(excititor)
        ran = aoc.json("audit", "excititor", **retrofit)
        seen[revision] = scans(excititor) - before
        assert (ran.exit_code, ran.report["facts"]["rows"]) == (0, 50)

    assert seen == {"base": 1, "excititor_0004": 1, "excititor_0006": 1}


def test_a_resumed_upgrade_reads_only_what_is_left(excititor: Database, aoc: Aoc) -> None:
    """Abort after 0003, it audits duplicates and links alone; after 0004 links alone, which are read once."""
    fill(excititor, 50)
    aoc.configure(excititor)
    seen = []

    for stopped, goal in (("excititor_0003", "excititor_0006"), ("excititor_0004", "excititor_0006")):
        assert aoc("upgrade", "excititor", stopped).exit_code == 0
        before = scans(excititor)
        with session_of(excititor) as session:
            found = audit(session, audit_plan(session, goal), lambda _: None)
        assert [finding.slug for finding in found] == ["retrofit-not-allowed"]
        seen.append(scans(excititor) - before)

    assert seen == [2, 1]


def test_broken_rows_are_read_once_more(excititor: Database, aoc: Aoc) -> None:
    """However many rules are broken, one more scan finds out how, with samples of all."""
    excititor.add("1", source={"severity": 1}, linkset=None, tenant=" ", content=[])
    excititor.add("2", identifiers={"effective_x": 1}, upstream={"Severity": 1}, upstream_id=None)
    aoc.configure(excititor)
    before = scans(excititor)

    ran = aoc.json("audit", AOC_ALLOW_SUPERSEDES_RETROFIT="true")

    assert scans(excititor) - before == 3  # rules and duplicates, how they are broken, the sample of null-key
    assert len(ran.report["findings"]) == 8


def test_row_rules_can_be_read_in_parallel(excititor: Database) -> None:
    """No predicate keeps PostgreSQL from sharing the scan among workers."""
    checks = [*VEX_RAW.row_checks(), VEX_RAW.document_check()]
    rules = row_rules(VEX_RAW, checks, list(VEX_RAW.required))
    for name in ("min_parallel_table_scan_size", "parallel_setup_cost", "parallel_tuple_cost"):
        excititor.run(f"SET {name} = 0")

    together = judged_duplicates(VEX_RAW, "vex_raw", broken_rules(rules)).replace("%s", "1")
    for query, reads in ((row_scan(rules, "vex_raw"), 1), (together, 2)):  # the second of candidates, if any
        explained = [row[0] for row in excititor.rows(f"EXPLAIN {query}")]

        assert sum("Parallel Seq Scan on vex_raw" in line for line in explained) == reads
        assert sum("Scan on vex_raw" in line for line in explained) == reads


@pytest.mark.parametrize("column", ["created_at", "retrieved_at"])
def test_since_reads_through_an_index(column: str, excititor: Database) -> None:
    """Recent revisions are found by an index on when they were stored, and their chains by the chain's."""
    fill(excititor, 5000)
    excititor.run("ALTER TABLE vex_raw ADD supersedes text")
    excititor.run("UPDATE vex_raw SET created_at = retrieved_at")
    excititor.add("new", upstream_id="CVE-7", retrieved_at="now")
    if column == "retrieved_at":
        excititor.run("ALTER TABLE vex_raw DROP created_at")
    excititor.run(f"CREATE INDEX recent ON vex_raw ({column})")
    excititor.run(f"CREATE INDEX chain ON vex_raw ({', '.join(VEX_RAW.chain_index().columns)})")
    excititor.run("VACUUM ANALYZE vex_raw")
    before = scans(excititor)

    with session_of(excititor) as session:
        found, facts = verify_chain(session, VEX_RAW, None, 10, Scope(since=3600))

    assert scans(excititor) == before
    assert (facts.rows, [finding.rows for finding in found]) == (6, [5])
    assert [row.id for row in facts.chain_sample] == ["r35", "r36", "r37", "r38", "r39"]


def subplans(node: Any, inside: bool = False) -> Iterator[str]:
    """Yield what subqueries read that run for each row: the names of tables and CTEs."""
    inside = inside or node.get("Parent Relationship") == "SubPlan"
    if inside and (name := node.get("Relation Name") or node.get("CTE Name")):
        yield name
    for child in node.get("Plans", []):
        yield from subplans(child, inside)


def test_no_table_is_read_once_for_each_row(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """The counts of a downgrade and a repair read no table for each row, and are right."""
    fill(excititor, 10)
    excititor.add("one", upstream_id="blank", content_hash="h")
    excititor.add("two", upstream_id="", upstream={"upstream_id": "blank"}, content_hash="h")
    for id_ in ("three", "four"):
        excititor.add(id_, upstream_id="", upstream={"upstream_id": "both"}, content_hash="h")
    excititor.add("five", upstream_id="", upstream={"upstream_id": "both"}, content_hash="h", tenant=None)
    aoc.configure(excititor)
    assert aoc("repair", "--rule", "null-key", "--apply").exit_code == 0
    excititor.run(
        "CREATE TABLE aoc_supersedes_journal (batch bigint, links text[], tenant text, written_at timestamptz); "
        "INSERT INTO aoc_supersedes_journal VALUES (1, '{{r1,a,b},{five,a,b},{r2,a,b}}')"
    )
    plans: list[Any] = []
    with session_of(excititor) as session:
        session.run("LOAD 'auto_explain'")
        for name, value in (("log_min_duration", "0"), ("log_format", "json")):
            session.set(f"auto_explain.{name}", value)
        session.set("client_min_messages", "log")
        session.connection.add_notice_handler(lambda notice: plans.append(notice.message_primary))

        counts = journaled_in_quarantine(session, VEX_RAW), collisions(session, VEX_RAW, RULES)

    found = [json.loads(plan.partition("plan:")[2]) for plan in plans]
    found = [
        plan["Plan"] for plan in found if "away AS" in plan["Query Text"] or "AS repaired" in plan["Query Text"]
    ]
    assert counts == (1, 3)
    assert [list(subplans(plan)) for plan in found] == [[], []]
