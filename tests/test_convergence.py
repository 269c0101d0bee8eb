"""Upgrade restores missing parts of applied revisions, and refuses what is not ours."""

import psycopg
import pytest

from tests.conftest import Aoc, Database
from tests.helpers import wait_until
from tests.partitions import partition
from tests.test_lifecycle import alembic

BROKEN_BY_HAND = {
    "missing-constraint": "ALTER TABLE {t} DROP CONSTRAINT {t}_objects_v1",
    "missing-constraint NOT NULL": "ALTER TABLE {t} ALTER tenant DROP NOT NULL",
    "missing-constraint content": "ALTER TABLE {t} DROP CONSTRAINT {t}_content_v1",
    "missing-index": "DROP INDEX {t}_idempotency_v1",
    "missing-index chain": "DROP INDEX {t}_chain_v1",
    "invalid-index": "UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{t}_idempotency_v1'::regclass",
}


@pytest.mark.alike
@pytest.mark.parametrize("broken", BROKEN_BY_HAND, ids=str)
def test_the_next_upgrade_restores_what_is_missing(
    broken: str, target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """What was dropped or broken by hand at head is found by verify and put back by the next upgrade."""
    aoc("upgrade", **retrofit)
    target_with_chain.run(BROKEN_BY_HAND[broken].format(t=target_with_chain.table))

    verified = aoc.json("verify")
    assert (verified.exit_code, verified.slugs()) == (1, [broken.split(maxsplit=1)[0]])

    assert aoc("upgrade").exit_code == 0
    assert aoc("verify", "--probe").exit_code == 0


def test_an_overload_changes_no_judgment(concelier: Database, aoc: Aoc) -> None:
    """A function with the name of the view's guard, and an argument, changes nothing that verify sees."""
    aoc.configure(concelier)
    assert aoc("upgrade").exit_code == 0
    concelier.run("CREATE FUNCTION aoc_advisory_read_only(int) RETURNS int LANGUAGE sql AS 'SELECT 1'")

    verified, upgraded = aoc.json("verify"), aoc.json("upgrade")

    assert (verified.exit_code, verified.slugs("error")) == (0, [])
    assert (upgraded.exit_code, upgraded.report["changed"]) == (0, False)


FOREIGN = {
    "changed-constraint": "ALTER TABLE {t} DROP CONSTRAINT {t}_objects_v1, "
    "ADD CONSTRAINT {t}_objects_v1 CHECK (true)",
    "changed-index": "DROP INDEX {t}_idempotency_v1; CREATE UNIQUE INDEX {t}_idempotency_v1 ON {t} (id)",
}


@pytest.mark.alike
@pytest.mark.parametrize("slug", FOREIGN)
def test_a_foreign_object_is_never_replaced(
    slug: str, target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """An object of our name that means something else is a finding, and is never replaced."""
    aoc("upgrade", **retrofit)
    target_with_chain.run(FOREIGN[slug].format(t=target_with_chain.table))

    verified, upgraded = aoc.json("verify"), aoc.json("upgrade")

    assert (verified.exit_code, verified.slugs()) == (1, [slug])
    assert (upgraded.exit_code, upgraded.report["changed"]) == (1, False)
    assert slug in upgraded.slugs()


def test_a_constraint_stays_unproven_until_it_is_validated(
    target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """A constraint put back as NOT VALID by a signed statement is unproven until upgrade validates it."""
    aoc("upgrade", **retrofit)
    table = target_with_chain.table
    definition = target_with_chain.value(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", [f"{table}_objects_v1"]
    )
    comment = target_with_chain.value(
        "SELECT obj_description(oid) FROM pg_constraint WHERE conname = %s", [f"{table}_objects_v1"]
    )
    target_with_chain.run(f"ALTER TABLE {table} DROP CONSTRAINT {table}_objects_v1")
    target_with_chain.run(f"ALTER TABLE {table} ADD CONSTRAINT {table}_objects_v1 {definition} NOT VALID")
    target_with_chain.run(f"COMMENT ON CONSTRAINT {table}_objects_v1 ON {table} IS '{comment}'")

    assert aoc.json("verify").slugs() == ["unproven-constraint"]
    assert aoc("upgrade").exit_code == 0
    assert aoc("verify").exit_code == 0


def test_a_copy_of_a_constraint_does_not_stand_in_for_it(excititor: Database, aoc: Aoc) -> None:
    """A constraint that is missing is made again, although a copy of the table has it, with its comment."""
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0
    excititor.run(
        "CREATE TABLE aside (LIKE vex_raw INCLUDING ALL); ALTER TABLE vex_raw DROP CONSTRAINT vex_raw_keys_v1"
    )

    assert aoc("upgrade").exit_code == 0
    assert aoc("verify", "--probe").exit_code == 0


def planned(aoc: Aoc) -> list[str]:
    """Return the statements of a plan."""
    return [line["statement"] for line in aoc.json("plan").report["facts"]["plan"]]


def test_the_plan_of_a_repair_has_its_proof(excititor: Database, aoc: Aoc) -> None:
    """Where a constraint was dropped, the plan adds it and proves it, though both revisions were applied."""
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0
    excititor.run("ALTER TABLE vex_raw DROP CONSTRAINT vex_raw_keys_v1")

    assert planned(aoc) == ["CHECK vex_raw_keys_v1 NOT VALID", "VALIDATE 3 CHECKs"]


def test_the_plan_leaves_out_what_is_there(excititor: Database, aoc: Aoc) -> None:
    """A plan from a revision on lists none of the constraints that a killed run has already added."""
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0002").exit_code == 0
    excititor.run("UPDATE aoc_alembic_version SET version_num = 'excititor_0001'")

    assert planned(aoc)[0] == "VALIDATE 3 CHECKs"


def test_foreign_constraints_outlive_a_downgrade(excititor: Database, aoc: Aoc) -> None:
    """Constraints of our names that mean something else are left as they are when our revisions are undone."""
    constraints = (
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'vex_raw'::regclass"
    )
    foreign = [("vex_raw_objects_v1", "CHECK (true)"), ("vex_raw_required_v1", "CHECK ((id <> '-'::text))")]
    aoc.configure(excititor)
    before = excititor.rows(constraints)
    assert aoc("upgrade").exit_code == 0
    excititor.run(FOREIGN["changed-constraint"].format(t="vex_raw"))
    excititor.run("ALTER TABLE vex_raw ADD CONSTRAINT vex_raw_required_v1 CHECK (id <> '-')")

    ran = aoc.json("downgrade", "base")

    assert ran.exit_code == 0
    assert {*excititor.rows(constraints)} == {*before, *foreign}


@pytest.mark.parametrize("parted", [False, True], ids=["plain", "partitions"])
def test_a_foreign_index_outlives_a_downgrade(parted: bool, excititor: Database, aoc: Aoc) -> None:
    """An index of our name on other columns is left as it is when our revisions are undone; ours are dropped."""
    if parted:
        partition(excititor.connection, "vex_raw")
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0
    other = "CREATE INDEX vex_raw_idempotency_v1 ON vex_raw (source_vendor)"
    excititor.run(f"DROP INDEX vex_raw_idempotency_v1; {other}")

    ran = aoc.json("downgrade", "base")

    assert ran.exit_code == 0, ran.err
    left = excititor.rows("SELECT indexname, indexdef FROM pg_indexes WHERE indexname ~ '_v1$'")
    assert [(name, definition.partition(" btree ")[2]) for name, definition in left] == [
        ("vex_raw_idempotency_v1", "(source_vendor)")
    ]


def test_a_foreign_proof_proves_nothing(excititor: Database, aoc: Aoc) -> None:
    """Stock Alembic sets no NOT NULL where the proof is not ours: it would scan under a strong lock."""
    proof = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'vex_raw_required_v1'"
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0002").exit_code == 0
    excititor.run("ALTER TABLE vex_raw DROP CONSTRAINT vex_raw_required_v1")
    excititor.run("ALTER TABLE vex_raw ADD CONSTRAINT vex_raw_required_v1 CHECK (id <> '-')")

    ran = alembic(excititor, aoc, "upgrade", "excititor_0003", check=False)

    assert ran.exit_code == 255
    assert ran.out.startswith("FAILED: vex_raw.vex_raw_required_v1 has one of our names")
    assert excititor.value(proof) == "CHECK ((id <> '-'::text))"
    assert aoc.json("audit").slugs("error") == ["foreign-object"]


def test_a_not_null_that_others_set_meanwhile_stays(excititor: Database, aoc: Aoc) -> None:
    """NOT NULL that another session sets while our step waits for its lock is theirs: the downgrade keeps it."""
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0002").exit_code == 0
    proofs = excititor.rows("SELECT conname FROM pg_constraint WHERE NOT convalidated AND contype = 'c'")
    for (name,) in proofs:
        excititor.run(f"ALTER TABLE vex_raw VALIDATE CONSTRAINT {name}")
    with psycopg.connect(excititor.url) as other:
        other.execute("LOCK TABLE vex_raw IN SHARE UPDATE EXCLUSIVE MODE")
        process = aoc.start("upgrade", "excititor_0003")
        wait_until(lambda: bool(excititor.value("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")))
        other.execute("ALTER TABLE vex_raw ALTER tenant SET NOT NULL")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err

    assert aoc("downgrade", "base").exit_code == 0

    required = "SELECT attname FROM pg_attribute WHERE attrelid = 'vex_raw'::regclass AND attnotnull"
    assert excititor.rows(f"{required} AND attnum > 0 ORDER BY attname") == [("id",), ("tenant",)]
