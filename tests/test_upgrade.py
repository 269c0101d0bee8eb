"""Upgrade as an operator sees it: gates, holds, convergence, what is put back and what is refused."""

import pytest

from tests.conftest import Aoc, Database

HEADS = {"concelier": "concelier_0008", "excititor": "excititor_0007"}


@pytest.fixture(params=["concelier", "excititor"])
def database(request: pytest.FixtureRequest, aoc: Aoc) -> Database:
    """Each target's database in turn, configured, with a chain of three revisions."""
    chosen: Database = request.getfixturevalue(request.param)
    aoc.configure(chosen)
    for n in range(3):
        chosen.add(f"{n}", retrieved_at=f"2025-01-0{n + 1}T00:00:00Z")
    return chosen


def links(database: Database) -> list[tuple[str, str | None]]:
    """Return (id, supersedes) of every row."""
    return database.rows(f"SELECT id, supersedes FROM {database.table} ORDER BY id")


def test_to_head_and_nothing_more(database: Database, aoc: Aoc, allowed: dict[str, str]) -> None:
    """Upgrade ends at head with every row linked; run again it finds nothing to do."""
    first, second = aoc.json("upgrade", **allowed), aoc.json("upgrade")

    assert (first.exit_code, first.report["revision"]) == (0, HEADS[database.target])
    assert first.report["changed"] is True
    assert links(database) == [("0", None), ("1", "0"), ("2", "1")]
    assert (second.exit_code, second.report["changed"], second.report["steps"]) == (0, False, [])
    assert aoc("verify", "--probe").exit_code == 0


def test_retrofit_gate(database: Database, aoc: Aoc) -> None:
    """Where rows need a link, upgrade wants the flag, and without it changes nothing."""
    ran = aoc.json("upgrade")

    assert (ran.exit_code, ran.slugs("error")) == (1, ["retrofit-not-allowed"])
    assert ran.finding("retrofit-not-allowed")["rows"] == 2
    assert (ran.report["revision"], ran.report["changed"]) == (None, False)
    assert database.value("SELECT to_regclass('aoc_migration_state')") is None


def test_constraints_first_without_the_flag(database: Database, aoc: Aoc) -> None:
    """Up to 0004 the retrofit flag is not asked for, because nothing is linked there."""
    ran = aoc.json("upgrade", f"{database.target}_0004")

    assert (ran.exit_code, ran.report["revision"]) == (0, f"{database.target}_0004")


def test_no_row_needs_a_link(database: Database, aoc: Aoc) -> None:
    """Where every document has one revision, the flag is not needed."""
    database.run(f"DELETE FROM {database.table} WHERE id <> '0'")

    assert aoc("upgrade").exit_code == 0


def test_a_finding_changes_nothing(database: Database, aoc: Aoc, allowed: dict[str, str]) -> None:
    """An error finding of the audit stops the upgrade before the first step."""
    database.add("bad", source={"severity": "high"}, upstream_id="other")

    ran = aoc.json("upgrade", **allowed)

    assert (ran.exit_code, ran.slugs("error"), ran.report["changed"]) == (1, ["forbidden-key"], False)
    assert database.value("SELECT count(*) FROM pg_constraint WHERE conname LIKE '%%_v1'") == 0


def test_fresh_database(empty: Database, aoc: Aoc) -> None:
    """On a fresh database the raw table is created, empty and guarded, and verify is clean."""
    aoc.configure(empty)

    ran = aoc.json("upgrade")

    assert (ran.exit_code, ran.report["revision"]) == (0, "concelier_0008")
    assert ran.slugs() == ["swap-not-applicable"]
    assert aoc("verify", "--probe").exit_code == 0
    with pytest.raises(Exception, match="advisory_raw_source_keys_v1"):
        empty.add("x", source={"cvss": 1})


def test_downgrade_holds(database: Database, aoc: Aoc, allowed: dict[str, str]) -> None:
    """After `downgrade -1` a plain upgrade holds still, says why, and exits 0; --release-hold goes on."""
    aoc("upgrade", **allowed)
    down = aoc.json("downgrade", "-1")
    assert (down.exit_code, down.slugs()) == (0, ["guard-still-on", "held"])

    restarts = [aoc.json("upgrade") for _ in range(2)]

    assert [(r.exit_code, r.slugs(), r.report["changed"]) for r in restarts] == [(0, ["held"], False)] * 2
    assert "held" in aoc.json("status").slugs()
    assert {"held", "not-at-head"} <= set(aoc.json("verify").slugs())
    released = aoc.json("upgrade", "--release-hold", **allowed)
    assert (released.exit_code, released.report["revision"]) == (0, HEADS[database.target])
    assert aoc("verify").exit_code == 0


def test_guard_off_is_silent(database: Database, aoc: Aoc, allowed: dict[str, str]) -> None:
    """With AOC_GUARD_ENABLED=false a rollback has nothing to warn of."""
    aoc("upgrade", **allowed)

    assert aoc.json("downgrade", "-1", AOC_GUARD_ENABLED="false").slugs() == ["held"]


def test_constraints_removed_and_put_back(database: Database, aoc: Aoc, allowed: dict[str, str]) -> None:
    """`constraints --remove` lets bad rows in again and holds; --release-hold puts everything back."""
    aoc("upgrade", **allowed)
    before = aoc.json("status").report["facts"]

    removed = aoc.json("constraints", "--remove")

    assert (removed.exit_code, removed.report["revision"]) == (0, HEADS[database.target])
    database.add("bad", tenant=None, source={"cvss": 1})
    assert aoc.json("upgrade").slugs() == ["held"]
    again = aoc.json("constraints", "--remove")
    assert (again.exit_code, again.report["steps"]) == (0, [])
    refused = aoc.json("upgrade", "--release-hold")
    assert (refused.exit_code, refused.report["changed"]) == (1, False)
    database.run(f"DELETE FROM {database.table} WHERE id = 'bad'")
    assert aoc("upgrade", "--release-hold").exit_code == 0
    assert aoc.json("status").report["facts"] == before
    assert aoc("verify", "--probe").exit_code == 0


BROKEN_BY_HAND = {
    "missing-constraint": "ALTER TABLE {t} DROP CONSTRAINT {t}_source_keys_v1",
    "missing-constraint NOT NULL": "ALTER TABLE {t} ALTER tenant DROP NOT NULL",
    "missing-constraint content": "ALTER TABLE {t} DROP CONSTRAINT {t}_content_keys_v1",
    "missing-index": "DROP INDEX {t}_idempotency_v1",
    "missing-index chain": "DROP INDEX {t}_chain_v1",
    "invalid-index": "UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{t}_idempotency_v1'::regclass",
}


@pytest.mark.parametrize("broken", BROKEN_BY_HAND, ids=str)
def test_convergence(broken: str, database: Database, aoc: Aoc, allowed: dict[str, str]) -> None:
    """What was dropped or broken by hand at head is found by verify and put back by the next upgrade."""
    aoc("upgrade", **allowed)
    database.run(BROKEN_BY_HAND[broken].format(t=database.table))

    verified = aoc.json("verify")
    assert (verified.exit_code, verified.slugs()) == (1, [broken.split(maxsplit=1)[0]])

    assert aoc("upgrade").exit_code == 0
    assert aoc("verify", "--probe").exit_code == 0


def test_view_made_read_only_again(concelier: Database, aoc: Aoc) -> None:
    """A view whose read-only trigger was dropped is found, and mended by the next upgrade."""
    aoc.configure(concelier)
    aoc("upgrade")
    concelier.run("DROP TRIGGER aoc_advisory_read_only ON advisory")

    assert aoc.json("verify").slugs("error") == ["view-writable"]
    assert aoc("upgrade").exit_code == 0
    assert aoc("verify").exit_code == 0


FOREIGN = {
    "changed-constraint": "ALTER TABLE {t} DROP CONSTRAINT {t}_source_keys_v1, "
    "ADD CONSTRAINT {t}_source_keys_v1 CHECK (true)",
    "changed-index": "DROP INDEX {t}_idempotency_v1; CREATE UNIQUE INDEX {t}_idempotency_v1 ON {t} (id)",
}


@pytest.mark.parametrize("slug", FOREIGN)
def test_foreign_object_in_its_place(slug: str, database: Database, aoc: Aoc, allowed: dict[str, str]) -> None:
    """An object of our name that means something else is a finding, and is never replaced."""
    aoc("upgrade", **allowed)
    database.run(FOREIGN[slug].format(t=database.table))

    verified, upgraded = aoc.json("verify"), aoc.json("upgrade")

    assert (verified.exit_code, verified.slugs()) == (1, [slug])
    assert (upgraded.exit_code, upgraded.report["changed"]) == (1, False)
    assert slug in upgraded.slugs()


def test_unproven_constraint(database: Database, aoc: Aoc, allowed: dict[str, str]) -> None:
    """A constraint put back as NOT VALID by a signed statement is unproven until upgrade validates it."""
    aoc("upgrade", **allowed)
    table = database.table
    definition = database.value(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", [f"{table}_source_keys_v1"]
    )
    comment = database.value(
        "SELECT obj_description(oid) FROM pg_constraint WHERE conname = %s", [f"{table}_source_keys_v1"]
    )
    database.run(f"ALTER TABLE {table} DROP CONSTRAINT {table}_source_keys_v1")
    database.run(f"ALTER TABLE {table} ADD CONSTRAINT {table}_source_keys_v1 {definition} NOT VALID")
    database.run(f"COMMENT ON CONSTRAINT {table}_source_keys_v1 ON {table} IS '{comment}'")

    assert aoc.json("verify").slugs() == ["unproven-constraint"]
    assert aoc("upgrade").exit_code == 0
    assert aoc("verify").exit_code == 0


def test_several_targets(concelier: Database, excititor: Database, aoc: Aoc) -> None:
    """Without a TARGET all configured ones are upgraded in order; downgrade wants one, or --all."""
    aoc.configure(concelier, excititor)

    up = aoc.json("upgrade")
    ambiguous = aoc("downgrade", "-1")
    down = aoc.json("downgrade", "-1", "--all")

    assert [r["target"] for r in up.json["reports"]] == ["concelier", "excititor"]
    assert ambiguous.exit_code == 2
    assert [r["revision"] for r in down.json["reports"]] == ["concelier_0007", "excititor_0006"]


def test_stops_at_the_first_failing_target(concelier: Database, excititor: Database, aoc: Aoc) -> None:
    """When the first target fails, the second is not touched, and stderr says so."""
    aoc.configure(concelier, excititor)
    concelier.add("bad", tenant=None)

    ran = aoc.json("upgrade")

    assert (ran.exit_code, len(ran.json["reports"])) == (1, 1)
    assert "excititor was not touched" in ran.err
    assert excititor.value("SELECT to_regclass('aoc_migration_state')") is None


def test_update_trigger(database: Database, aoc: Aoc, allowed: dict[str, str]) -> None:
    """A trigger that the backfill would fire stops the upgrade, unless it is allowed by name."""
    database.run("CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
    database.run(f"CREATE TRIGGER note BEFORE UPDATE ON {database.table} FOR EACH ROW EXECUTE FUNCTION noted()")

    refused = aoc.json("upgrade", **allowed)

    assert (refused.exit_code, refused.slugs("error")) == (1, ["update-trigger"])
    assert aoc("upgrade", "--allow-triggers", "note", **allowed).exit_code == 0


def test_output_file(database: Database, aoc: Aoc, tmp_path: object) -> None:
    """--output writes the report to the file and nothing to stdout."""
    path = f"{tmp_path}/report.json"

    ran = aoc.json("audit", "--output", path)

    assert ran.out == ""
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        assert '"schema": 1' in file.read()


def test_late_flag_is_a_warning(database: Database, aoc: Aoc, allowed: dict[str, str]) -> None:
    """After the cut-over, verify warns that the retrofit flag is still on, and stays at exit 0."""
    aoc("upgrade", **allowed)

    ran = aoc.json("verify", **allowed)

    assert (ran.exit_code, ran.slugs()) == (0, ["retrofit-still-allowed"])
