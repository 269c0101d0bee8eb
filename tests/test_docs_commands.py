"""What the pages say to type is typed, block by block in their order, on a real server, and ends as they say."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from aoc_migrate.sandbox.server import Server
from tests.conftest import ROOT
from tests.passwords import hurry_passwords
from tests.reader import Lines, arrive, leave, prepare_server, promised
from tests.servers import running_server
from tests.situations import (
    Situation,
    at_0004,
    behind,
    blind,
    damaged,
    duplicate,
    gave_up,
    held,
    killed,
    limited,
    locked,
    nothing,
    planned,
    rollback_killed,
    steered,
    waiting,
)
from tests.test_docs import PAGES

DEPLOY = ROOT / "deploy"

NOT_TYPED = {
    "README.md: scripts/demo": "runs in tests/test_scripts.py; scripts/test is what runs this test",
    "README.md: pip install": "changes the environment; tests/test_packaging.py installs the wheel",
    "CONTRIBUTING.md: scripts/test --citus": "needs a Citus cluster; runs all tests of tests/citus",
    "CONTRIBUTING.md: scripts/test": "is what runs this test",
    "CONTRIBUTING.md: export AOC_TEST_BUILD=": "needs Podman; runs all tests of deploy/",
    "CONTRIBUTING.md: scripts/release": "runs in tests/test_release.py, in a clone",
    "docs/cli.md: python3 -c": "asks for a password on the terminal",
    "docs/deploy.md: docker build": "needs Docker; tests/deploy builds and runs the image",
    "docs/deploy.md: POSTGRES_PASSWORD=": "needs Docker Compose, and runs until it is stopped",
    "docs/offline.md: aoc-migrate bundle kit --platform": "needs a package index; see tests/test_bundle_wheels.py",
    "docs/offline.md: sha256sum --check": "needs such a kit; see tests/test_bundle_wheels.py",
    "docs/performance.md: scripts/bench": "takes half an hour",
    "deploy/helm/aoc-migrate/README.md: kubectl": "needs a cluster; tests/deploy plays the chart's Pods",
    "deploy/helm/aoc-migrate/README.md: helm upgrade aoc": "needs a cluster",
}
"""Blocks that are not typed, by page and first words, and why."""

SITUATIONS: dict[tuple[str, str], tuple[str, Situation]] = {
    ("README.md", ""): ("dirty", nothing),
    ("SECURITY.md", ""): ("head", nothing),
    ("docs/alembic.md", ""): ("clean", nothing),
    ("docs/metrics.md", ""): ("head", nothing),
    ("docs/offline.md", ""): ("head", nothing),
    ("docs/offline.md", "## psql alone"): ("clean", nothing),
    ("docs/operations.md", ""): ("dirty", nothing),
    ("docs/reports.md", ""): ("clean", nothing),
    ("docs/rollout.md", ""): ("dirty", nothing),
    ("docs/rules.md", ""): ("head", nothing),
    ("docs/rules.md", "## Before: rows"): ("dirty", nothing),
    ("docs/rules.md", "### retrofit-not-allowed"): ("clean", nothing),
    ("docs/window.md", ""): ("clean", nothing),
    ("docs/window.md", "### Exit code 1: findings"): ("dirty", nothing),
    ("docs/window.md", "### `plan-differs`"): ("clean", planned),
    ("docs/window.md", "### `pooler`, or `standby`"): ("clean", nothing),
    ("docs/window.md", "### `waiting for another run`, `lock-held`"): ("clean", locked),
    ("docs/window.md", "### `gave up`, `waiting for pid`: a session blocks us"): ("clean", waiting),
    ("docs/window.md", "### An index build waits"): ("clean", nothing),
    ("docs/window.md", "### The backfill pauses, or is slow"): ("clean", behind),
    ("docs/window.md", "### Slow down, pause or stop a run"): ("clean", steered),
    ("docs/window.md", "### Disk or WAL fills up"): ("clean", behind),
    ("docs/window.md", "### Exit code 3: `deadline`"): ("clean", gave_up),
    ("docs/window.md", "### Killed, Ctrl-C, or `connection-lost`"): ("clean", killed),
    ("docs/window.md", "### `temp-file-limit`"): ("clean", limited),
    ("docs/window.md", "### `step-failed`: No space left on device"): ("clean", at_0004),
    ("docs/window.md", "### `row-refused`: a row that breaks a rule came in meanwhile"): ("clean", duplicate),
    ("docs/window.md", "### Exit code 4: verify failed"): ("head", damaged),
    ("docs/window.md", "### Writers get `violates check constraint`"): ("head", nothing),
    ("docs/window.md", "### `missing-constraint`, `missing-index`, `invalid-index`"): ("head", damaged),
    ("docs/window.md", "### HELD after the pods restarted"): ("head", held),
    ("docs/window.md", "### The verifier cannot read"): ("head", blind),
    ("docs/window.md", "### You must go back now"): ("head", nothing),
    ("docs/window.md", "### A rollback was interrupted: `rollback-unfinished`"): ("head", rollback_killed),
    ("docs/scale.md", ""): ("clean", nothing),
    ("migrations/README.md", ""): ("clean", nothing),
}
"""How a page finds its reader, from its beginning or from a heading on: the databases, and what has happened."""


def name(page: Path) -> str:
    """Return a page's path in the checkout."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> Iterator[tuple[str, Lines]]:
    """Yield each block of shell commands of a page, with the heading from which its situation holds."""
    heading, fence = "", ""
    block: Lines | None = None
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip()
        if fence and text == "```":
            if block:
                yield heading, block
            block, fence = None, ""
        elif fence:
            if block is not None:
                block[number] = line
        elif text.startswith("```"):
            block, fence = {} if text == "```sh" else None, text
        elif line and (name(page), line) in SITUATIONS:
            heading = line


PARTS: dict[tuple[str, str], Lines] = {}
SKIPPED: dict[str, str] = {}
for each in sorted({*PAGES, *DEPLOY.rglob("*.md")}):
    for heading, lines in blocks(each):
        first = f"{name(each)}: {next(iter(lines.values())).strip()}"
        reason = next((key for key in NOT_TYPED if first.startswith(key)), None)
        if reason:
            SKIPPED[first] = reason
        else:
            PARTS.setdefault((name(each), heading), {}).update(lines)


@pytest.fixture(scope="session")
def documents_server() -> Iterator[Server]:
    """A server whose databases each part of a page finds new."""
    with running_server() as server:
        hurry_passwords(server.url("postgres"))
        prepare_server(server)
        yield server


@pytest.mark.parametrize("part", PARTS, ids=lambda part: re.sub(r"\W+", "-", " ".join(part)).strip("-"))
def test_what_a_page_says_to_type_ends_as_it_says(
    part: tuple[str, str], documents_server: Server, tmp_path: Path
) -> None:
    """Each command ends with exit code 0, or with the one that the page promises in its line."""
    base, situation = SITUATIONS[part]
    reader = arrive(documents_server, tmp_path, base)
    try:
        with situation(reader) as here:
            codes, printed = reader.type(PARTS[part], here)
            assert codes == promised(PARTS[part]), printed
    finally:
        leave(reader)


def test_every_block_is_typed_or_has_a_reason() -> None:
    """Every block of every page is typed, or is on the list of those that are not, which has no other."""
    assert {*SKIPPED.values()} == {*NOT_TYPED}
    assert {*PARTS} == {*SITUATIONS}
