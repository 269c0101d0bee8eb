"""The image: what is in it; built and run, it needs no root and nothing to write to."""

import json
import re
from pathlib import Path

import pytest

from aoc_migrate import __version__
from tests.conftest import Database
from tests.deploy.conftest import DOCKERFILE, Helm, Run, containers


def test_the_final_stage_holds_only_the_environment() -> None:
    """The final stage copies the environment alone, drops pip, and runs as a user with a number."""
    *_, final = re.split(r"(?m)^FROM ", DOCKERFILE.read_text(encoding="utf-8"))

    assert re.findall(r"(?m)^(?:COPY|ADD) (.*)$", final) == ["--from=builder /opt/aoc /opt/aoc"]
    assert re.findall(r"(?m)^USER (.*)$", final) == ["65532:65532"]
    assert re.findall(r"(?m)^ENTRYPOINT (.*)$", final) == ['["/opt/aoc/bin/aoc-migrate"]']
    assert "pip uninstall" in final


def test_the_build_context_holds_only_what_is_copied() -> None:
    """Nothing but what the builder copies is sent to it, so no local file gets into a layer."""
    builder = DOCKERFILE.read_text(encoding="utf-8").split("FROM ")[1]
    copied = {name for line in re.findall(r"(?m)^COPY (.*) \S+$", builder) for name in line.split()}
    ignored, *sent = DOCKERFILE.with_suffix(".dockerignore").read_text(encoding="utf-8").split()

    assert ignored == "*"
    assert {name.removeprefix("!") for name in sent if name.startswith("!")} == copied


@pytest.mark.parametrize("user", ["65532:65532", "1000770000:0"])
def test_any_user_can_run_the_image(user: str, image: Run) -> None:
    """It runs as its own user and as one without an entry in /etc/passwd, on a read-only file system."""
    ran = image("--version", options=("--user", user))

    assert (ran.stdout, ran.returncode) == (f"aoc-migrate, version {__version__}\n", 0), ran.stderr


LOOK = """
import importlib.util as find, json, os, pathlib, shutil
sources = list(pathlib.Path("/opt/aoc").rglob("*.py"))
print(json.dumps({
    "user": os.getuid(),
    "modules": [name for name in ("pip", "ensurepip") if find.find_spec(name)],
    "programs": [name for name in ("pip", "gcc", "cc") if shutil.which(name)],
    "sources": len(sources),
    "not compiled": sum(not os.path.exists(find.cache_from_source(str(path))) for path in sources),
    "main": json.load(open("/opt/aoc/sbom.cdx.json"))["metadata"]["component"]["purl"],
}))
"""


def test_the_image_holds_no_root_and_no_build_tools(image: Run) -> None:
    """It has no root, pip or compiler, all byte code compiled, and a bill of materials about this version."""
    ran = image("-c", LOOK, options=("--entrypoint", "/opt/aoc/bin/python"))
    found = json.loads(ran.stdout)

    assert found.pop("sources") > 500
    assert found == {
        "user": 65532,
        "modules": [],
        "programs": [],
        "not compiled": 0,
        "main": f"pkg:pypi/aoc-migrate@{__version__}",
    }


def test_the_init_container_migrates_a_database(
    image: Run, helm: Helm, service_chart: Path, concelier: Database, tmp_path: Path
) -> None:
    """The init container of a service's chart migrates a database out of the image; again, it changes nothing."""
    deployments = [m for m in helm.template(chart=service_chart) if m["metadata"]["name"] == "concelier"]
    (container,) = containers(deployments)
    (mount,) = container["volumeMounts"]
    secret = tmp_path / "url"
    secret.write_text(concelier.url, encoding="utf-8")
    for path in (*reversed(tmp_path.parents[:2]), tmp_path):
        path.chmod(0o755)
    options = ["--volume", f"{secret}:{mount['mountPath']}/url:ro"]
    for variable in container["env"]:
        options += ["--env", f"{variable['name']}={variable['value']}"]

    first, second = (image(*container["args"], "--format", "json", options=tuple(options)) for _ in range(2))

    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["reports"][0]["changed"] is True
    assert json.loads(second.stdout)["reports"][0]["changed"] is False
