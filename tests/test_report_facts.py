"""Facts of audit and verify: checked against an independent oracle, within the requested scope."""

import re
from collections import Counter
from typing import Any

import pytest

from tests.conftest import Aoc, Database

SIZES = {("acme", "osv"): [1, 1, 2, 3, 4, 5], ("acme", "ghsa"): [8, 9, 9], ("other", "osv"): [17, 2]}
BUCKETS = ((1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (17, 32))


@pytest.fixture
def chains_at_head(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> Database:
    """A database at head with chains of the sizes above; the latest revision of the largest is a day old."""
    for (tenant, vendor), sizes in SIZES.items():
        for number, size in enumerate(sizes):
            newest = "now() - interval '1 day'" if size == 17 else "timestamptz '2025-01-01'"
            retrieved = f"{newest} - n * interval '1 year'"
            excititor.run(
                "INSERT INTO vex_raw (id, tenant, source_vendor, upstream_id, content_hash, retrieved_at, "
                "created_at, source, upstream, linkset) "
                "SELECT concat_ws('-', %s::text, %s::text, %s::int, n), %s, %s, %s, "
                f"'sha256:' || n, {retrieved}, {retrieved}, '{{}}', '{{}}', '{{}}' "
                "FROM generate_series(0, %s - 1) AS n",
                (tenant, vendor, number, tenant, vendor, f"CVE-{number}", size),
            )
    aoc.configure(excititor)
    assert aoc("upgrade", **retrofit).exit_code == 0
    return excititor


def expected(sizes: dict[tuple[str, str], list[int]]) -> dict[str, Any]:
    """Return the facts of chains of these sizes."""
    documents = [
        (size, tenant, vendor, f"CVE-{number}")
        for (tenant, vendor), of_vendor in sizes.items()
        for number, size in enumerate(of_vendor)
    ]
    depths = {
        f"{low} to {high}" if high > 2 else str(high): count
        for low, high in BUCKETS
        if (count := sum(low <= size <= high for size, *_ in documents))
    }
    counted = Counter(size for size, *_ in documents)
    largest = []
    for size in sorted(counted, reverse=True)[:5]:
        first = min(key for found, *key in documents if found == size)
        names = dict(zip(("tenant", "source_vendor", "upstream_id"), first, strict=True))
        largest.append({"revisions": size, "documents": counted[size], **names})
    rows = sum(size for size, *_ in documents)
    linked = rows - len(documents)
    return {"rows": rows, "linked": linked, "chain_depths": depths, "largest_chains": largest}


def test_chains_are_counted_over_every_row(chains_at_head: Database, aoc: Aoc) -> None:
    """Depths and the largest chains are counted over every row, and no scope is reported."""
    facts = aoc.json("verify").report["facts"]

    assert {key: facts[key] for key in expected(SIZES)} == expected(SIZES)
    assert list(facts["chain_depths"]) == ["1", "2", "3 to 4", "5 to 8", "9 to 16", "17 to 32"]
    assert {"tenant", "since_seconds", "probed"} & set(facts) == set()


def test_chains_are_counted_over_one_tenant(chains_at_head: Database, aoc: Aoc) -> None:
    """With --tenant they are counted over that tenant's rows, and the report says whose."""
    facts = aoc.json("verify", "--tenant", "acme", "--probe").report["facts"]
    wanted = expected({key: sizes for key, sizes in SIZES.items() if key[0] == "acme"})

    assert {key: facts[key] for key in wanted} == wanted
    assert (facts["tenant"], facts["probed"]) == ("acme", True)


def test_since_counts_whole_documents(chains_at_head: Database, aoc: Aoc) -> None:
    """With --since they are counted over whole documents with a recent revision, and the report says so."""
    facts = aoc.json("verify", "--since", "48h").report["facts"]

    assert (facts["rows"], facts["linked"], facts["chain_depths"]) == (17, 16, {"17 to 32": 1})
    assert [chain["revisions"] for chain in facts["largest_chains"]] == [17]
    assert facts["since_seconds"] == 48 * 3600
    assert re.search(r"\n  since +2 d\n", aoc("verify", "--since", "48h").out)


def test_a_row_is_recent_when_it_was_stored_recently(chains_at_head: Database, aoc: Aoc) -> None:
    """A revision retrieved long ago and stored today is recent; without created_at, retrieved_at decides."""
    chains_at_head.run("UPDATE vex_raw SET created_at = now() WHERE id = 'acme-ghsa-0-7'")
    late = aoc.json("verify", "--since", "48h").report["facts"]
    chains_at_head.run("UPDATE vex_raw SET created_at = timestamptz '2000-01-01' WHERE id = 'acme-ghsa-0-7'")
    chains_at_head.run("UPDATE vex_raw SET created_at = NULL WHERE id LIKE 'other-osv-%'")

    untold = aoc.json("verify", "--since", "48h").report["facts"]

    assert (late["rows"], late["chain_depths"]) == (17 + 8, {"5 to 8": 1, "17 to 32": 1})
    assert (untold["rows"], untold["chain_depths"]) == (17, {"17 to 32": 1})


def test_an_empty_scope_has_no_chains(chains_at_head: Database, aoc: Aoc) -> None:
    """Where no row is in scope, depths and chains are empty."""
    facts = aoc.json("verify", "--tenant", "nobody").report["facts"]

    assert (facts["rows"], facts["linked"], facts["chain_depths"], facts["largest_chains"]) == (0, 0, {}, [])


def test_an_impossible_probe_is_reported(chains_at_head: Database, aoc: Aoc) -> None:
    """Where no row at all can be stored, the report says that nothing was probed."""
    chains_at_head.run("ALTER TABLE vex_raw ADD CONSTRAINT closed CHECK (false) NOT VALID")

    ran = aoc.json("verify", "--probe")

    assert (ran.slugs(), ran.report["facts"]["probed"]) == (["probe-not-possible"], False)


def test_the_state_of_each_rule_and_index_is_reported(chains_at_head: Database, aoc: Aoc) -> None:
    """What is gone, not proven or different is reported as such, next to what holds."""
    good = aoc.json("verify").report["facts"]
    assert (set(good["rules"].values()), set(good["indexes"].values())) == ({"proven"}, {"valid"})
    definition = chains_at_head.value(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'vex_raw_objects_v1'"
    )
    comment = chains_at_head.value(
        "SELECT obj_description(oid) FROM pg_constraint WHERE conname = 'vex_raw_objects_v1'"
    )
    chains_at_head.run(
        "ALTER TABLE vex_raw DROP CONSTRAINT vex_raw_content_v1, ALTER source DROP NOT NULL, "
        "DROP CONSTRAINT vex_raw_keys_v1, ADD CONSTRAINT vex_raw_keys_v1 CHECK (true), "
        f"DROP CONSTRAINT vex_raw_objects_v1, ADD CONSTRAINT vex_raw_objects_v1 {definition} NOT VALID"
    )
    chains_at_head.run(f"COMMENT ON CONSTRAINT vex_raw_objects_v1 ON vex_raw IS '{comment}'")
    chains_at_head.run(
        "DROP INDEX vex_raw_idempotency_v1; CREATE INDEX vex_raw_idempotency_v1 ON vex_raw (tenant)"
    )
    chains_at_head.run("DROP INDEX vex_raw_chain_v1")

    facts = aoc.json("verify").report["facts"]

    assert facts["rules"] == good["rules"] | {
        "vex_raw_content_v1": "missing",
        "source NOT NULL": "missing",
        "vex_raw_keys_v1": "changed",
        "vex_raw_objects_v1": "guarded",
    }
    assert facts["indexes"] == {"vex_raw_idempotency_v1": "foreign", "vex_raw_chain_v1": "missing"}


def test_duplicates_are_counted_by_vendor(target_with_chain: Database, aoc: Aoc) -> None:
    """Audit counts groups and rows of each vendor, whatever --limit is; without groups it counts none."""
    assert "duplicates_by_vendor" not in aoc.json("audit", target_with_chain.target).report["facts"]
    for vendor, groups in {"osv": [2, 3], "ghsa": [4, 2, 2], "redhat": [2]}.items():
        for group, copies in enumerate(groups):
            for n in range(copies):
                values = {"upstream_id": f"twice {group}", "content_hash": "same", "source_vendor": vendor}
                target_with_chain.add(f"{vendor} {group} {n}", **values)

    facts = aoc.json("audit", target_with_chain.target, "--limit", "1").report["facts"]

    assert facts["duplicates_by_vendor"] == [
        {"source_vendor": "ghsa", "groups": 3, "rows": 8},
        {"source_vendor": "osv", "groups": 2, "rows": 5},
        {"source_vendor": "redhat", "groups": 1, "rows": 2},
    ]
