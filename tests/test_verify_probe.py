"""The probe of verify, and its scopes: what it tries and finds, and that it leaves nothing."""

from typing import Any

import pytest

from tests.conftest import Aoc, Database
from tests.copies import made_once
from tests.helpers import PINNED

ALLOWED = {"AOC_ALLOW_SUPERSEDES_RETROFIT": "true"}


@pytest.fixture(params=["concelier", "excititor"])
def migrated(request: pytest.FixtureRequest, aoc: Aoc) -> Database:
    """Each target's database in turn, at head, with one row."""
    chosen: Database = request.getfixturevalue(request.param)
    aoc.configure(chosen)
    made_once(request, chosen, lambda: aoc("upgrade"))
    chosen.add("1")
    return chosen


def on_insert(database: Database, body: str, when: str = "BEFORE INSERT") -> None:
    """Give the table somebody else's row trigger."""
    database.run(f"CREATE FUNCTION theirs() {PINNED} 'BEGIN {body} END'")
    database.run(f"CREATE TRIGGER theirs {when} ON {database.table} FOR EACH ROW EXECUTE FUNCTION theirs()")


@pytest.mark.parametrize("rows", [0, 1])
def test_the_probe_leaves_no_row(rows: int, migrated: Database, aoc: Aoc) -> None:
    """On a good database the probe is clean and leaves no row, whether or not the table is empty."""
    migrated.run(f"DELETE FROM {migrated.table} WHERE {rows} = 0")
    before = migrated.rows(f"SELECT xmin, ctid, id FROM {migrated.table}")

    ran = aoc.json("verify", "--probe")

    assert (ran.exit_code, ran.slugs(), ran.report["changed"]) == (0, [], False)
    assert migrated.rows(f"SELECT xmin, ctid, id FROM {migrated.table}") == before


RULES = {
    "objects": ["severity in source", "effective_x in linkset", "identifiers is []"],
    "content": ["cvss in content", "content is null"],
    "keys": ["blank tenant", "blank content_hash", "an id that is too long", "an infinite retrieved_at"],
    "idempotency": ["a duplicate"],
}


@pytest.mark.alike
@pytest.mark.parametrize("rule", RULES)
def test_a_missing_rule_lets_its_row_in(rule: str, migrated: Database, aoc: Aoc) -> None:
    """Where a rule is gone, the probe shows what now gets in, and no more than that."""
    table = migrated.table
    migrated.run(
        f"DROP INDEX {table}_idempotency_v1"
        if rule == "idempotency"
        else f"ALTER TABLE {table} DROP CONSTRAINT {table}_{rule}_v1"
    )

    ran = aoc.json("verify", "--probe")

    accepted = " ".join(f["problem"] for f in ran.report["findings"] if f["slug"] == "probe-accepted")
    assert ran.exit_code == 1
    assert set(ran.slugs()) == {
        "missing-index" if rule == "idempotency" else "missing-constraint",
        "probe-accepted",
    }
    assert all(f"forbids: {what}." in accepted for what in RULES[rule])
    assert ("risk_score in linkset" in accepted) == (rule == "objects")
    assert migrated.value(f"SELECT count(*) FROM {table}") == 1


def test_a_missing_not_null_lets_its_row_in(migrated: Database, aoc: Aoc) -> None:
    """Where NOT NULL is gone, the probe's row without that column gets in, and only that one."""
    migrated.run(f"ALTER TABLE {migrated.table} ALTER upstream_id DROP NOT NULL")

    ran = aoc.json("verify", "--probe")

    assert "forbids: no upstream_id." in ran.finding("probe-accepted")["problem"]


def test_a_trigger_that_repairs_rows_is_found(migrated: Database, aoc: Aoc) -> None:
    """Where a trigger takes the forbidden key out before the CHECK sees it, the rule is not what refuses."""
    repair = "NEW.source := NEW.source - ''severity'';"
    on_insert(migrated, f"IF jsonb_typeof(NEW.source) = ''object'' THEN {repair} END IF; RETURN NEW;")

    ran = aoc.json("verify", "--probe")

    assert (ran.exit_code, ran.slugs()) == (1, ["probe-accepted"])
    assert "severity in source" in ran.finding("probe-accepted")["problem"]
    assert "triggers that change rows" in ran.finding("probe-accepted")["help"]


def test_a_swallowed_row_does_not_count_as_accepted(migrated: Database, aoc: Aoc) -> None:
    """Where a trigger drops the bad row without an error, the probe does not say that it was accepted."""
    on_insert(migrated, "IF NEW.source ? ''severity'' THEN RETURN NULL; END IF; RETURN NEW;")

    ran = aoc.json("verify", "--probe")

    assert (ran.exit_code, ran.slugs()) == (0, ["probe-wrong-error"])
    assert "severity in source" in ran.finding("probe-wrong-error")["problem"]


def test_a_trigger_that_refuses_first_is_found(migrated: Database, aoc: Aoc) -> None:
    """Where a trigger refuses before the rule does, the probe says so: it may hide that the rule is gone."""
    blank = "octet_length(btrim(NEW.tenant, E'' \\u3000'')) = 0"
    on_insert(migrated, f"IF {blank} THEN RAISE ''no tenant''; END IF; RETURN NEW;")

    ran = aoc.json("verify", "--probe")

    assert (ran.exit_code, ran.slugs()) == (0, ["probe-wrong-error"])
    assert "P0001: no tenant" in ran.finding("probe-wrong-error")["problem"]


NOT_POSSIBLE = {
    "a trigger that raises": ("RAISE EXCEPTION USING MESSAGE = ''closed today'';", "P0001: closed today"),
    "a trigger that swallows every row": ("RETURN NULL;", "was not stored"),
}


@pytest.mark.parametrize("case", NOT_POSSIBLE)
def test_an_impossible_probe_says_why(case: str, migrated: Database, aoc: Aoc) -> None:
    """Where not even a good row can be stored, the probe says why instead of proving nothing."""
    body, reason = NOT_POSSIBLE[case]
    on_insert(migrated, body)

    ran = aoc.json("verify", "--probe")

    assert (ran.exit_code, ran.slugs()) == (0, ["probe-not-possible"])
    assert reason in ran.finding("probe-not-possible")["problem"]


def test_the_probe_of_a_reader_says_that_it_may_not_write(migrated: Database, aoc: Aoc) -> None:
    """A role that may only read verifies everything else; the probe says that it may not write."""
    migrated.run("DROP ROLE IF EXISTS watcher; CREATE ROLE watcher LOGIN PASSWORD 'w'")
    migrated.run("GRANT SELECT ON ALL TABLES IN SCHEMA public TO watcher")
    url = {f"{migrated.target.upper()}_DATABASE_URL": migrated.url_as("watcher", "w")}

    ran = aoc.json("verify", "--probe", **url)

    assert (ran.exit_code, ran.slugs()) == (0, ["probe-not-possible"])
    assert "permission denied" in ran.finding("probe-not-possible")["problem"]
    assert aoc.json("verify", **url).slugs() == []


def test_deferred_triggers_are_not_fired(migrated: Database, aoc: Aoc) -> None:
    """Deferred triggers do not fire for the probe's rows, because the probe never commits."""
    migrated.run("CREATE TABLE fired (id text)")
    migrated.run(
        f"CREATE FUNCTION theirs() {PINNED} "
        "'BEGIN INSERT INTO fired VALUES (NEW.id); RETURN NULL; END'; "
        f"CREATE CONSTRAINT TRIGGER theirs AFTER INSERT ON {migrated.table} DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION theirs()"
    )

    assert aoc.json("verify", "--probe").slugs() == []
    assert migrated.rows("SELECT * FROM fired") == []


@pytest.fixture
def wrong_chain_heads(excititor: Database, aoc: Aoc) -> Database:
    """Chains with a wrong head: one of tenant acme, stored just now, one of it's, stored long ago."""
    aoc.configure(excititor)
    for tenant, age in (("acme", "1 hour"), ("it's", "400 days")):
        for n, before in enumerate(("800 days", age)):
            at = excititor.value("SELECT now() - %s::interval", [before])
            excititor.add(f"{tenant} {n}", tenant=tenant, retrieved_at=at, created_at=at)
    assert aoc("upgrade", **ALLOWED).exit_code == 0
    excititor.run("UPDATE vex_raw SET supersedes = 'nowhere' WHERE id LIKE '%%0'", [])
    return excititor


SCOPES: list[tuple[list[str], list[str]]] = [
    ([], ["acme 0", "it's 0"]),
    (["--tenant", "acme"], ["acme 0"]),
    (["--tenant", "it's"], ["it's 0"]),
    (["--tenant", "nobody"], []),
    (["--since", "24h"], ["acme 0"]),
    (["--since", "1d"], ["acme 0"]),
    (["--since", "30m"], []),
    (["--since", "10000h"], ["acme 0", "it's 0"]),
    (["--since", "1d", "--tenant", "it's"], []),
    (["--limit", "1"], ["acme 0", "it's 0"]),
]


@pytest.mark.alike
@pytest.mark.parametrize(("options", "broken"), SCOPES, ids=[" ".join(options) for options, _ in SCOPES])
def test_tenant_and_since_choose_whole_chains(
    options: list[str], broken: list[str], wrong_chain_heads: Database, aoc: Aoc
) -> None:
    """--tenant and --since choose whole chains; the count is over all chosen, the statement is ready to run."""
    ran = aoc.json("verify", *options)

    assert (ran.exit_code, ran.slugs("error")) == ((1, ["chain-broken"]) if broken else (0, []))
    if broken:
        finding: Any = ran.finding("chain-broken")
        assert finding["rows"] == len(broken)
        assert [row["id"] for row in finding["sample"]] == broken[: 1 if "--limit" in options else None]
        assert {row[0] for row in wrong_chain_heads.rows(finding["statement"])} == set(broken)


def test_facts_of_a_tenant_exclude_others(wrong_chain_heads: Database, aoc: Aoc) -> None:
    """A report on one tenant counts and shows this tenant's rows, and says whose they are."""
    facts = aoc.json("verify", "--tenant", "acme").report["facts"]

    assert (facts["tenant"], facts["rows"], facts["linked"]) == ("acme", 2, 2)
    assert [row["id"] for row in facts["chain_sample"]] == ["acme 0", "acme 1"]
