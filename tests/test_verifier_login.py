"""How `verifier create` ends, and the client of the documentation, which connects as that role."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, Aoc, Database


@pytest.mark.alike
@pytest.mark.parametrize("role", ["stella-aoc-verify", 'it\'s "mine"'])
@pytest.mark.parametrize(
    "given", ["PGPASSWORD", "EXCITITOR_DATABASE_PASSWORD", "EXCITITOR_DATABASE_PASSWORD_FILE"]
)
def test_create_ends_with_how_to_connect(
    given: str, role: str, excititor: Database, aoc: Aoc, tmp_path: Path
) -> None:
    """What create says next connects as the role, once the password is given in a variable that its note names."""
    aoc.configure(excititor)
    password = tmp_path / "password"
    password.write_text("planted secret\n", encoding="utf-8")
    assert aoc("upgrade").exit_code == 0

    created = aoc.json("verifier", "create", "--password-file", str(password), AOC_VERIFIER_USER=role)
    following = created.report["next"]
    ran = subprocess.run(
        ["bash", "-c", following["command"].replace("aoc-migrate", f"{sys.executable} -m aoc_migrate")],
        check=False,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "AOC_VERIFIER_USER": role}
        | {given: str(password) if given.endswith("_FILE") else "planted secret"},
        capture_output=True,
        text=True,
    )

    assert (ran.returncode, ran.stdout[:6]) == (0, "PASSED"), ran.stderr
    assert following["note"].startswith("The password is the one in the file; the server got only a salted hash")
    assert re.search(rf"\b{given}\b", following["note"])
    assert "planted secret" not in created.out + created.err
    assert aoc("verifier", "drop", AOC_VERIFIER_USER=role).exit_code == 0


def test_create_without_a_password_says_so(excititor: Database, aoc: Aoc) -> None:
    """Without --password-file no password is set, and the report says how to set one."""
    aoc.configure(excititor)

    note = aoc.json("verifier", "create", AOC_VERIFIER_USER="a-verifier").report["next"]["note"]

    assert note.startswith("No password was set; --password-file sets one.")
    assert aoc("verifier", "drop", AOC_VERIFIER_USER="a-verifier").exit_code == 0


def test_the_documented_authority_client_has_the_guides_scopes() -> None:
    """The client that docs/rollout.md gives to Authority is YAML with the guide's grant, scopes and tenants."""
    page = (ROOT / "docs" / "rollout.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"(?ms)^```yaml\n(clients:.*?)^```$", page)

    (client,) = yaml.safe_load(block)["clients"]

    assert client == {
        "clientId": "stella-aoc-verify",
        "grantTypes": ["client_credentials"],
        "scopes": ["aoc:verify", "advisory:read", "vex:read"],
        "tenants": ["default"],
    }
