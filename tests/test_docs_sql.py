"""The SQL of docs/rules.md runs, finds its rows, and repairs them."""

import re
from typing import Any

import pytest

from tests.conftest import Aoc, Database
from tests.partitions import partition
from tests.test_docs import RULES, blocks

PARTS = dict(re.findall(r"(?ms)^## (.+?)$(.*?)(?=^## |\Z)", RULES))
SQL = {
    f"{part}, {heading or 'at its head'} {number}": block
    for part, text in PARTS.items()
    for heading, body in re.findall(r"(?ms)^(?:### (\S+)$)?(.*?)(?=^### |\Z)", text)
    for number, block in enumerate(blocks(body, "sql"))
}

GOOD_UPSTREAM = {"fetched_at": "2025-01-01T00:00:00Z"}
DIRT: dict[str, dict[str, Any]] = {
    "missing-required": {"retrieved_at": None, "upstream": GOOD_UPSTREAM},
    "blank-key": {"source_vendor": " \t", "source": {"vendor": "osv"}},
    "not-an-object": {"identifiers": "null"},
    "forbidden-key": {"source": {"vendor": "osv", "severity": "high"}},
    "derived-key": {"linkset": {"effective_range": "all"}},
    "duplicate-key": {"content_hash": "same"},
    "null-key": {"tenant": None},
    "key-too-long": {"upstream_id": "x" * 2640},
    "case-variant-key": {"source": {"vendor": "osv", "riskScore": 1}},
    "content-hash-format": {"content_hash": "SHA256:00"},
    "envelope-mismatch": {"source": {"vendor": "redhat"}},
    "unguarded-column": {},
    "forbidden-column": {},
}
SHAPE = {
    "unguarded-column": "ALTER TABLE advisory_raw ADD COLUMN notes jsonb",
    "forbidden-column": "ALTER TABLE advisory_raw ADD COLUMN severity text",
}
REPAIRED = ("missing-required", "blank-key", "not-an-object", "forbidden-key", "derived-key", "duplicate-key")


def statements(slug: str) -> list[str]:
    """Return the statements that the section of a finding shows, in order."""
    (text,) = re.findall(rf"(?ms)^### {slug}$(.*?)(?=^##)", RULES)
    return [s.strip() for block in blocks(text, "sql") for s in block.split(";\n") if s.strip()]


@pytest.mark.parametrize("name", SQL)
def test_each_example_runs(name: str, concelier: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """Each example runs on a database as it is when the finding arises: before the upgrade, or after it."""
    if name.startswith("Before: partitions"):
        partition(concelier.connection, "advisory_raw")
        concelier.run("CREATE TABLE advisory_raw_archive PARTITION OF advisory_raw FOR VALUES IN ('archive')")
    concelier.add("a")
    if name.startswith("After"):
        aoc.configure(concelier)
        assert aoc("upgrade", **retrofit).exit_code == 0

    for statement in SQL[name].split(";\n"):
        concelier.run(statement)


@pytest.mark.parametrize("slug", DIRT)
def test_the_examples_find_and_repair_the_rows(slug: str, concelier: Database, aoc: Aoc) -> None:
    """The examples of a finding find what the audit found; after those that repair it, it is gone."""
    concelier.run(SHAPE.get(slug, ""))
    for id_ in ("a", "b"):
        document = "CVE-2025-0001" if slug == "duplicate-key" else f"CVE-{id_}"
        concelier.add(id_, **({"upstream_id": document} | DIRT[slug]))
    concelier.add("clean", upstream_id="CVE-clean")
    aoc.configure(concelier)
    assert slug in aoc.json("audit").slugs()
    shown = statements(slug)
    reads = [s for s in shown if s.startswith("SELECT")]

    found = [row for statement in reads for row in concelier.rows(statement)]
    assert found
    assert "clean" not in str(found)
    if slug in REPAIRED:
        for statement in shown:
            concelier.run(statement)
        assert slug not in aoc.json("audit").slugs()
    assert concelier.value("SELECT count(*) FROM advisory_raw") == (2 if slug == "duplicate-key" else 3)
