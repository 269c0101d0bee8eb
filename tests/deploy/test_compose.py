"""The compose file: one migration before the services, the guide's flags, and no secret in it."""

import os
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from aoc_migrate import __version__
from tests.conftest import ROOT, Aoc, Database
from tests.deploy.conftest import IMAGE

FILE = ROOT / "deploy" / "compose.yaml"
FLAGS = {
    "AOC_GUARD_ENABLED": "true",
    "AOC_ALLOW_SUPERSEDES_RETROFIT": "false",
    "AOC_METRICS_ENABLED": "true",
    "AOC_TENANT_HEADER": "X-Stella-Tenant",
    "AOC_VERIFIER_USER": "stella-aoc-verify",
}


def read(text: str) -> Any:
    """Return the services of a compose file, with the defaults of its variables."""
    return yaml.safe_load(re.sub(r"\$\{\w+:-(.*?)\}", r'"\1"', text))["services"]


@pytest.fixture
def compose_services() -> Any:
    """The services as they are written."""
    return read(FILE.read_text(encoding="utf-8"))


def works(*words: str) -> bool:
    """Return whether a command ends well."""
    return not subprocess.run(words, check=False, capture_output=True).returncode


def config(**environment: str) -> subprocess.CompletedProcess[str]:
    """Run Compose's own check, or skip."""
    known = ["docker", "compose"], ["docker-compose"], ["podman-compose"]
    command = next((words for words in known if shutil.which(words[0]) and works(*words, "version")), None)
    if not command:
        pytest.skip("no docker compose, docker-compose or podman-compose")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AOC_", "POSTGRES_"))}
    command = [*command, "--file", str(FILE), "config"]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=kept | environment)


def test_compose_accepts_the_file() -> None:
    """Compose accepts the file, and keeps its flags and order."""
    ran = config(POSTGRES_PASSWORD="secret")

    assert ran.returncode == 0, ran.stderr
    known = read(ran.stdout)
    assert {name: known["concelier"]["environment"][name] for name in FLAGS} == FLAGS
    assert known["aoc-migrate"]["environment"]["AOC_ALLOW_SUPERSEDES_RETROFIT"] == "false"


def test_the_backfill_is_allowed_to_the_migration_alone() -> None:
    """AOC_ALLOW_SUPERSEDES_RETROFIT in the shell reaches the one-shot and never a service."""
    known = read(config(POSTGRES_PASSWORD="secret", AOC_ALLOW_SUPERSEDES_RETROFIT="true").stdout)

    given = {name: known[name]["environment"].get("AOC_ALLOW_SUPERSEDES_RETROFIT") for name in known}
    assert given == {"postgres": None, "aoc-migrate": "true", "concelier": "false", "excititor": "false"}


def test_compose_refuses_without_a_password() -> None:
    """Without a password Compose refuses, and says what is missing."""
    ran = config()

    assert ran.returncode != 0
    assert "choose a password" in ran.stderr


def test_services_start_after_the_migration(compose_services: Any) -> None:
    """Each service waits until the one-shot succeeded, which waits for PostgreSQL and is not restarted."""
    for name in ("concelier", "excititor"):
        assert compose_services[name]["depends_on"] == {
            "aoc-migrate": {"condition": "service_completed_successfully"}
        }
        assert compose_services[name]["environment"] == FLAGS
    migration = compose_services["aoc-migrate"]
    assert migration["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert migration["restart"] == "no"
    assert migration["image"] == f"{IMAGE}:{__version__}"
    assert migration["build"]["args"] == {"VERSION": __version__}
    assert (migration["read_only"], migration["cap_drop"]) == (True, ["ALL"])


def test_the_first_start_creates_the_databases(compose_services: Any) -> None:
    """PostgreSQL's first start makes the databases that the URLs name, for the role that they name."""
    scripts = "".join(path.read_text(encoding="utf-8") for path in (FILE.parent / "initdb").iterdir())
    made = {
        compose_services["postgres"]["environment"]["POSTGRES_DB"],
        *re.findall(r"(?m)^CREATE DATABASE (\w+);$", scripts),
    }
    role = compose_services["postgres"]["environment"]["POSTGRES_USER"]

    given = compose_services["aoc-migrate"]["environment"]
    urls = {given[f"{target}_DATABASE_URL"] for target in ("CONCELIER", "EXCITITOR")}
    assert urls == {f"postgresql://{role}@postgres/{name}" for name in made}


def test_the_migration_brings_databases_to_head(
    compose_services: Any, empty_database: Database, excititor: Database, aoc: Aoc
) -> None:
    """The one-shot's words and flags bring an empty database and a legacy one to head."""
    migration = compose_services["aoc-migrate"]
    flags = {name: value for name, value in migration["environment"].items() if name.startswith("AOC_")}
    aoc.configure(empty_database, excititor)

    ran = aoc.json(*migration["command"], **flags)

    assert ran.exit_code == 0, ran.err
    assert [report["revision"] for report in ran.json["reports"]] == [r["head"] for r in ran.json["reports"]]
