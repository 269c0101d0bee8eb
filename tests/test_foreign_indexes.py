"""An index that has our name but another definition does not count as ours."""

import pytest

from tests.conftest import Aoc, Database
from tests.helpers import psql
from tests.test_lifecycle import alembic

KEY = "tenant, source_vendor, upstream_id, content_hash"
PLAIN = "tenant, source_vendor, upstream_id, retrieved_at, id"
CHAIN = f'{PLAIN} COLLATE "C"'
FOREIGN = {
    "deferrable": f"ALTER TABLE vex_raw ADD CONSTRAINT vex_raw_idempotency_v1 UNIQUE ({KEY}) DEFERRABLE",
    "not unique": f"CREATE INDEX vex_raw_idempotency_v1 ON vex_raw ({KEY})",
    "other operators": "CREATE UNIQUE INDEX vex_raw_idempotency_v1 ON vex_raw "
    "(tenant text_pattern_ops, source_vendor, upstream_id, content_hash)",
    "other order": f"CREATE INDEX vex_raw_chain_v1 ON vex_raw ({CHAIN} DESC)",
    "other collation": f"CREATE INDEX vex_raw_chain_v1 ON vex_raw ({PLAIN})",
    "a collation of that name": """CREATE COLLATION public."C" (provider = libc, locale = 'C');"""
    f'CREATE INDEX vex_raw_chain_v1 ON vex_raw ({PLAIN} COLLATE public."C")',
    "partial": f"CREATE UNIQUE INDEX vex_raw_idempotency_v1 ON vex_raw ({KEY}) WHERE tenant <> 'a'",
    "more columns": f"CREATE UNIQUE INDEX vex_raw_idempotency_v1 ON vex_raw ({KEY}, id)",
    "including": f"CREATE UNIQUE INDEX vex_raw_idempotency_v1 ON vex_raw ({KEY}) INCLUDE (id)",
    "hash": "CREATE INDEX vex_raw_chain_v1 ON vex_raw USING hash (tenant)",
}
OURS = {
    "with the collation": f"CREATE INDEX vex_raw_chain_v1 ON vex_raw ({CHAIN})",
    "immediate constraint": f"ALTER TABLE vex_raw ADD CONSTRAINT vex_raw_idempotency_v1 UNIQUE ({KEY})",
}


@pytest.mark.alike
@pytest.mark.parametrize("made", FOREIGN)
def test_another_index_of_our_name_is_refused(made: str, excititor: Database, aoc: Aoc) -> None:
    """The audit finds it, and the upgrade stops there: nothing has changed."""
    excititor.run(FOREIGN[made])
    aoc.configure(excititor)

    audited, ran = aoc.json("audit"), aoc.json("upgrade")

    assert "foreign-object" in audited.slugs("error")
    assert (ran.exit_code, ran.report["changed"]) == (1, False)
    assert "foreign-object" in ran.slugs("error")


@pytest.mark.parametrize("made", OURS)
def test_an_equal_index_is_adopted_and_kept(made: str, excititor: Database, aoc: Aoc) -> None:
    """An index that does the same is adopted, recorded as found, and left by the downgrade."""
    excititor.run(OURS[made])
    aoc.configure(excititor)

    assert aoc("upgrade").exit_code == 0
    assert aoc("downgrade", "base").exit_code == 0
    name = "vex_raw_chain_v1" if "chain" in OURS[made] else "vex_raw_idempotency_v1"
    assert excititor.value("SELECT to_regclass(%s) IS NOT NULL", [f"public.{name}"])


@pytest.mark.parametrize("way", ["stock", "printed"])
def test_a_name_taken_after_the_audit_stops_the_revision(way: str, excititor: Database, aoc: Aoc) -> None:
    """Where the name was taken after the audit, the revision stops before it records anything."""
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0003").exit_code == 0
    excititor.run(FOREIGN["deferrable"])

    if way == "stock":
        ran = alembic(excititor, aoc, "upgrade", "excititor_0004", check=False)
        assert ran.exit_code != 0
        assert "vex_raw_idempotency_v1" in ran.out
    else:
        printed = alembic(excititor, aoc, "upgrade", "excititor_0003:excititor_0004", "--sql").out
        assert psql(excititor, printed).exit_code == 3

    assert excititor.value("SELECT count(*) FROM aoc_migration_state WHERE name = 'excititor_0004'") == 0
    assert excititor.value("SELECT version_num FROM aoc_alembic_version") == "excititor_0003"
