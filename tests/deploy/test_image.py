"""The image: what is in it; built and run, it needs no root and nothing to write to."""

import json
import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from aoc_migrate import __version__
from tests.conftest import ROOT, Database
from tests.deploy.conftest import BUILT, CHART, DOCKERFILE, IMAGE, REPOSITORY, TAG, Helm, Run, containers


def test_the_final_stage_holds_only_the_environment() -> None:
    """The final stage copies the environment alone, drops pip, and runs as a user with a number."""
    *_, final = re.split(r"(?m)^FROM ", DOCKERFILE.read_text(encoding="utf-8"))

    assert re.findall(r"(?m)^(?:COPY|ADD) (.*)$", final) == ["--from=builder /opt/aoc /opt/aoc"]
    assert re.findall(r"(?m)^USER (.*)$", final) == ["65532:65532"]
    assert re.findall(r"(?m)^ENTRYPOINT (.*)$", final) == ['["/opt/aoc/bin/aoc-migrate"]']
    assert "pip uninstall" in final


def test_the_build_context_holds_only_what_is_copied() -> None:
    """Only what the wheel is built from is sent to the builder, so no local file gets into a layer."""
    builder = DOCKERFILE.read_text(encoding="utf-8").split("FROM ")[1]
    copied = {name for line in re.findall(r"(?m)^COPY (.*) \S+$", builder) for name in line.split()}
    ignored, *sent = DOCKERFILE.with_suffix(".dockerignore").read_text(encoding="utf-8").split()
    about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project, wheel = about["project"], about["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {
        project["readme"],
        *project.get("license-files", []),
        *wheel["only-include"],
        *wheel["force-include"],
    }

    assert ignored == "*"
    assert {name.removeprefix("!") for name in sent if name.startswith("!")} == copied
    assert copied == {"pyproject.toml", *needed}


def test_the_image_has_one_name() -> None:
    """Every file calls the image by the same example name, so that one search finds all that a fork must edit."""
    listed = ["git", "ls-files", "*.md", "deploy", "tests/deploy/service", "tests/deploy/values"]
    files = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    named = r"registry\.example[\w./-]*[\w/]|\b[\w./-]*aoc-migrate(?=:\d|@sha256)"
    found = {name for file in files for name in re.findall(named, (ROOT / file).read_text(encoding="utf-8"))}
    image = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))["image"]

    services = {f"{Path(IMAGE).parent}/{service}" for service in ("concelier", "excititor", "console")}
    assert found - services - {"registry.example/python"} == {IMAGE}
    assert "/".join(filter(None, [image.get("registry"), image["repository"]])) == IMAGE


@pytest.mark.parametrize("user", ["65532:65532", "1000770000:0"])
def test_any_user_can_run_the_image(user: str, image: Run) -> None:
    """It runs as its own user and as one without an entry in /etc/passwd, on a read-only file system."""
    ran = image("--version", options=("--user", user))

    assert (ran.stdout, ran.returncode) == (f"aoc-migrate, version {__version__}\n", 0), ran.stderr


LOOK = """
import importlib.metadata, importlib.util as find, json, os, pathlib, platform, shutil, subprocess
sources = list(pathlib.Path("/opt/aoc").rglob("*.py"))
bom = json.load(open("/opt/aoc/sbom.cdx.json"))
main = bom["metadata"]["component"]
listed = {(c["name"].lower(), c["version"]) for c in [main, *bom["components"]]}
there = {(d.name.lower(), d.version) for d in importlib.metadata.distributions()}
there |= {("python", platform.python_version())}
show = ["dpkg-query", "--show", "--showformat=${Package} ${Version}\\n"]
there |= {tuple(line.split()) for line in subprocess.run(show, capture_output=True, text=True).stdout.splitlines()}
print(json.dumps({
    "user": os.getuid(),
    "modules": [name for name in ("pip", "ensurepip") if find.find_spec(name)],
    "programs": [name for name in ("pip", "gcc", "cc") if shutil.which(name)],
    "sources": len(sources),
    "not compiled": sum(not os.path.exists(find.cache_from_source(str(path))) for path in sources),
    "main": main["purl"],
    "unlisted": sorted(there - listed),
}))
"""


def test_the_image_holds_no_root_and_no_build_tools(image: Run) -> None:
    """It has no root, pip or compiler, all byte code compiled, and every package in its bill of materials."""
    ran = image("-c", LOOK, options=("--entrypoint", "/opt/aoc/bin/python"))
    found = json.loads(ran.stdout)

    assert found.pop("sources") > 500
    assert found == {
        "user": 65532,
        "modules": [],
        "programs": [],
        "not compiled": 0,
        "main": f"pkg:pypi/aoc-migrate@{__version__}",
        "unlisted": [],
    }


def test_the_labels_say_what_the_image_is(image: Run) -> None:
    """The image has the labels of the OCI that are true of it, and none that names an address."""
    inspect = [*shlex.split(os.environ["AOC_TEST_RUN"])[:1], "image", "inspect", f"{REPOSITORY}:{TAG}"]
    (found,) = json.loads(subprocess.run(inspect, check=True, capture_output=True, text=True).stdout)
    labels = found.get("Labels") or found["Config"]["Labels"]
    oci = {name.rpartition(".")[2]: value for name, value in labels.items() if ".opencontainers.image." in name}

    assert (oci["title"], oci["licenses"]) == ("aoc-migrate", "Apache-2.0")
    assert {name.upper(): oci[name] for name in ("version", "revision", "created")} == BUILT
    assert oci.keys() == {
        "title",
        "description",
        "licenses",
        "version",
        "revision",
        "created",
        "name",
    }  # base.name
    assert not re.search("https?:", str(oci))


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
