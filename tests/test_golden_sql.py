"""The SQL of every revision, as stock Alembic prints it, is the one that was released."""

import difflib
import io
import os
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from aoc_migrate.revisions.graph import history
from tests.conftest import ROOT

GOLDEN = Path(__file__).parent / "golden"
STEPS = [
    (target, revision.down or "base", revision.id, direction)
    for target in ("concelier", "excititor")
    for revision in history(target)
    for direction in ("upgrade", "downgrade")
]


def printed(target: str, down: str, revision: str, direction: str) -> str:
    """Return what ``alembic -n TARGET DIRECTION FROM:TO --sql`` prints."""
    buffer = io.StringIO()
    config = Config(str(ROOT / "alembic.ini"), ini_section=target, output_buffer=buffer)
    run = getattr(command, direction)
    run(config, f"{down}:{revision}" if direction == "upgrade" else f"{revision}:{down}", sql=True)
    return buffer.getvalue()


@pytest.mark.parametrize(("target", "down", "revision", "direction"), STEPS, ids=str)
def test_a_revision_prints_its_released_sql(
    target: str, down: str, revision: str, direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A revision prints the SQL that is in tests/golden; once on main it never changes."""
    for what in ("DATABASE_SCHEMA", "TABLE_OWNER"):
        monkeypatch.delenv(f"{target.upper()}_{what}", raising=False)
    path, now = GOLDEN / f"{revision}.{direction}.sql", printed(target, down, revision, direction)
    if os.environ.get("AOC_UPDATE_GOLDENS"):
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(now, encoding="utf-8")

    released = path.read_text(encoding="utf-8") if path.exists() else ""

    difference = difflib.unified_diff(released.splitlines(), now.splitlines(), "released", "now", lineterm="")
    assert now == released, "\n".join(
        ["a released revision is frozen; write a new one. Before a release: AOC_UPDATE_GOLDENS=1", *difference]
    )


def test_each_golden_file_belongs_to_a_revision() -> None:
    """Each golden file of SQL belongs to a revision."""
    wanted = {f"{revision}.{direction}.sql" for _, _, revision, direction in STEPS}

    assert {path.name for path in GOLDEN.glob("*.sql")} == wanted
