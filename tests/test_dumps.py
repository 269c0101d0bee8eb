"""What a released version left in a database, at each of its revisions, goes to head with this one."""

import subprocess
import sys
from pathlib import Path

import pytest

from aoc_migrate.revisions.graph import history
from scripts.releasing.frozen import releases
from tests.conftest import ROOT, Aoc, Database
from tests.interchange import ALLOWED, empty_copy, is_clean, program
from tests.postgres_versions import binaries_of

KEPT = ROOT / "tests" / "dumps"
DUMPS = sorted(KEPT.glob("*/*.sql"))


def goes_to_head(dump: Path, database: Database, aoc: Aoc) -> None:
    """Restore a dump, which is clean, go to head, down to base, and to head again."""
    target = dump.stem.partition("_")[0]
    table = {"concelier": "advisory_raw", "excititor": "vex_raw"}[target]
    with empty_copy(database) as copy:
        program(["psql", copy.url, "-Xq", "-v", "ON_ERROR_STOP=1"], dump.read_bytes())
        restored = Database(copy.connection, table, target)
        aoc.configure(restored)
        aoc.environment |= ALLOWED
        assert aoc.json("status", target).report["revision"] == dump.stem
        for words in (("upgrade",), ("downgrade", "base"), ("upgrade", "--release-hold")):
            ran = aoc(words[0], target, *words[1:])
            assert ran.exit_code == 0, ran.out
        aoc.environment.clear()
        is_clean(restored, aoc, history(target)[-1].id)


def test_every_release_has_its_dumps() -> None:
    """For each tag, there is a dump of each revision that it had."""
    tags = releases(ROOT)
    if not tags:
        pytest.skip("this clone has no tag of a release; the next test makes a dump and takes it to head")
    for tag in tags:
        names = subprocess.run(
            ["git", "-C", ROOT, "ls-tree", "--name-only", tag, "migrations/concelier/", "migrations/excititor/"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        revisions = {"_".join(Path(name).stem.split("_")[:2]) for name in names if "_0" in name}
        assert {path.stem for path in (KEPT / tag.removeprefix("v")).glob("*.sql")} == revisions


@pytest.mark.skipif(not DUMPS, reason="nothing is released, so no dump is kept; the next test makes one")
@pytest.mark.parametrize("dump", DUMPS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_kept_dump_goes_to_head(dump: Path, concelier: Database, aoc: Aoc) -> None:
    """A dump of a released version, at one of its revisions, goes to head, to base, and to head again."""
    goes_to_head(dump, concelier, aoc)


def test_a_dump_of_today_goes_to_head(concelier: Database, aoc: Aoc, tmp_path: Path) -> None:
    """What scripts/dumps writes for one revision goes to head, too, on the PostgreSQL in use."""
    if binaries_of(15) is None:
        pytest.skip("scripts/dumps needs PostgreSQL 15: scripts/postgres 15")
    command = [
        sys.executable,
        str(ROOT / "scripts" / "dumps"),
        "--only",
        "concelier_0004",
        "--output",
        str(tmp_path),
    ]

    subprocess.run(command, check=True, capture_output=True, env=aoc.env())

    (dump,) = tmp_path.iterdir()
    goes_to_head(dump, concelier, aoc)
