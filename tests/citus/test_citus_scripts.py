"""psql scripts and Alembic's own: on a cluster stock Alembic works, and each script refuses in one sentence."""

from tests.citus.clusters import Cluster
from tests.citus.test_citus_lifecycle import fill, looks
from tests.conftest import ROOT, Aoc, Database
from tests.helpers import dump, psql
from tests.test_lifecycle import alembic


def test_scripts_refuse(shaped: Database, cluster: Cluster, aoc: Aoc) -> None:
    """The constraints script, a planned script and Alembic's --sql say why they end, and change nothing."""
    before = looks(cluster, shaped)
    applied = psql(shaped, (ROOT / "scripts" / "apply-aoc-constraints.sql").read_text())
    planned = psql(shaped, Aoc()("plan", "concelier", "base:head", "--sql").out)
    printed = psql(shaped, alembic(shaped, aoc, "upgrade", "base:head", "--sql").out)
    asked = aoc("plan", "concelier", "--sql")

    for ran in (applied, planned, printed):
        assert (ran.exit_code, ran.err.count("ERROR")) == (3, 1), ran.err
        assert "Citus manages" in ran.err or "is partitioned" in ran.err
    assert (asked.exit_code, "Citus manages advisory_raw" in asked.err) == (2, True)
    assert looks(cluster, shaped) == before


def test_the_duplicate_audit_runs(shaped: Database) -> None:
    """The read-only script says the same as anywhere."""
    fill(shaped)
    script = (ROOT / "scripts" / "check-advisory-raw-duplicates.sql").read_text()

    assert "advisory_raw: no conflicts" in psql(shaped, script).out
    shaped.add("twin", tenant="tenant-0", content_hash="sha256:same")
    shaped.add("other", tenant="tenant-0", content_hash="sha256:same")
    found = psql(shaped, script)

    assert "twin" in found.out, (found.out, found.err)


def test_stock_alembic(shaped: Database, cluster: Cluster, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """Stock Alembic goes up and down as on a single server."""
    fill(shaped)
    before, rows = looks(cluster, shaped), dump(shaped)
    aoc.environment |= retrofit

    up = alembic(shaped, aoc, "upgrade", "head")
    assert up.exit_code == 0, up.err
    assert shaped.value("SELECT count(*) FROM advisory_raw WHERE supersedes IS NOT NULL") == 24
    down = alembic(shaped, aoc, "downgrade", "base")

    assert down.exit_code == 0, down.err
    assert looks(cluster, shaped) == before
    assert dump(shaped) == rows
