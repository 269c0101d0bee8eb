"""docs/rollout.md, typed from its first command to its last, on both databases."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Aoc, Database
from tests.helpers import wrong_links
from tests.test_docs import blocks
from tests.test_evidence import runs

PAGE = (ROOT / "docs" / "rollout.md").read_text(encoding="utf-8")
FINDINGS = ("audit",)  # before the retrofit is allowed it says so, with exit code 1


def typed() -> list[str]:
    """Return the commands of the page in order; what is for concelier alone follows for excititor."""
    lines = [line.strip() for block in blocks(PAGE, "sh") for line in block.splitlines()]
    both = []
    for line in lines:
        if not line.startswith("export "):
            both += [line, line.replace("concelier", "excititor")] if "concelier" in line else [line]
    return both


@pytest.mark.nightly
def test_every_command_of_the_page_ends_as_it_says(
    concelier: Database, excititor: Database, aoc: Aoc, tmp_path: Path
) -> None:
    """Each command ends as the page says; in the end both stand at head, verified, after a rollback and back."""
    (tmp_path / "password").write_text("planted secret", encoding="utf-8")
    program = tmp_path / "aoc-migrate"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m aoc_migrate "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    for database in (concelier, excititor):
        for n in range(3):
            database.add(f"{n}", retrieved_at=f"2025-01-0{n + 1}T00:00:00Z")
        database.add("blank", source_vendor=" ", upstream_id="twice", content_hash="h")
        database.add("again", upstream_id="twice", content_hash="h", retrieved_at="2025-02-01T00:00:00Z")
    aoc.configure(concelier, excititor)
    environment = aoc.env(PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    held, done = [], []

    try:
        for line in typed():
            here = line.replace("/run/secrets/verifier", str(tmp_path / "password"))
            here = re.sub("/var/tmp/CHG-1234", str(tmp_path / "ticket"), here)
            ran = subprocess.run(
                ["sh", "-c", here], cwd=tmp_path, env=environment, check=False, capture_output=True, text=True
            )
            expected = int(line.split()[1] in FINDINGS)
            assert ran.returncode == expected, f"{line}\n{ran.stdout}{ran.stderr}"
            assert "planted secret" not in ran.stdout + ran.stderr
            if "--remove" in line:
                target = "concelier" if "concelier" in line else "excititor"
                held.append(aoc.json("upgrade", target).slugs())
            done.append(line)
    finally:
        concelier.run('DROP OWNED BY "stella-aoc-verify"')
        excititor.run('DROP OWNED BY "stella-aoc-verify"; DROP ROLE "stella-aoc-verify"')

    assert len(done) > 20
    assert held == [["held"], ["held"]]
    for database in (concelier, excititor):
        assert aoc.json("verify", database.target, "--probe").slugs("error") == []
        assert wrong_links(database) == 0
    assert len(runs(tmp_path / "ticket")) == 4


def test_the_page_names_every_variable_and_step_of_the_guide() -> None:
    """The page names the guide's five variables, its two scripts, its seven steps, and its rollback."""
    variables = ("GUARD_ENABLED", "ALLOW_SUPERSEDES_RETROFIT", "METRICS_ENABLED", "TENANT_HEADER", "VERIFIER_USER")

    assert all(f"| `AOC_{name}` |" in PAGE for name in variables)
    assert re.findall(r"(?m)^## (\d)\. ", PAGE) == [str(n) for n in range(1, 8)]
    for words in ("check-advisory-raw-duplicates.sql", "apply-aoc-constraints.sql", "## Rollback", "--since 24h"):
        assert words in PAGE
