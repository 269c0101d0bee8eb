"""The Helm chart: what it renders, what it refuses, and what holds for every pod."""

import difflib
import json
import os
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner

from aoc_migrate import __version__
from aoc_migrate.cli import cli
from aoc_migrate.cli.param_types import DURATION
from aoc_migrate.errors import Abort
from tests.deploy.conftest import CHART, HERE, Helm, Manifest, containers, pods

GOLDEN = HERE / "golden"
VALUES = sorted((HERE / "values").glob("*.yaml"))
VALUES_OF = {path.stem: path for path in VALUES}
CASES = [*VALUES_OF, "service"]


def rendered(helm: Helm, service: Path, case: str) -> list[Manifest]:
    """Return the manifests of a values file, or of the service's chart."""
    return helm.template(chart=service) if case == "service" else helm.template("--values", VALUES_OF[case])


@pytest.fixture(params=CASES)
def manifests(request: pytest.FixtureRequest, helm: Helm, service_chart: Path) -> list[Manifest]:
    """The manifests of each case in turn."""
    return rendered(helm, service_chart, request.param)


@pytest.mark.parametrize("case", CASES)
def test_the_chart_renders_the_golden_manifests(case: str, helm: Helm, service_chart: Path) -> None:
    """The chart makes the manifests that are in tests/deploy/golden."""
    path = GOLDEN / f"{case}.yaml"
    now = yaml.safe_dump_all(rendered(helm, service_chart, case), sort_keys=False)
    if os.environ.get("AOC_UPDATE_GOLDENS"):
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(now, encoding="utf-8")

    golden = path.read_text(encoding="utf-8") if path.exists() else ""

    difference = difflib.unified_diff(golden.splitlines(), now.splitlines(), "golden", "now", lineterm="")
    assert now == golden, "\n".join(["if it is meant: AOC_UPDATE_GOLDENS=1", *difference])


def test_each_golden_file_belongs_to_a_case() -> None:
    """Each golden file belongs to a case."""
    assert sorted(path.stem for path in GOLDEN.iterdir()) == sorted(CASES)


@pytest.mark.parametrize("values", [*VALUES, CHART / "values-rollback.yaml"], ids=lambda path: path.stem)
def test_helm_lint_finds_nothing(values: Path, helm: Helm) -> None:
    """`helm lint --strict` finds nothing."""
    ran = helm.run("lint", "--strict", CHART, "--values", values)

    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_kubernetes_knows_every_field(manifests: list[Manifest]) -> None:
    """Every field is one that Kubernetes 1.31 knows."""
    for manifest in manifests:
        kubernetes_validate.validate(manifest, "1.31", strict=True)


def test_every_command_line_parses(manifests: list[Manifest]) -> None:
    """Every container's words and options exist: the command gets as far as reading its Secret."""
    for container in containers(manifests):
        unset = dict.fromkeys(f"{t}_DATABASE_URL{f}" for t in ("CONCELIER", "EXCITITOR") for f in ("", "_FILE"))
        ran = CliRunner(env=unset).invoke(cli, container["args"])

        assert isinstance(ran.exception, Abort), (container["args"], ran.output)
        assert "configured" in str(ran.exception)


def test_containers_are_hardened(manifests: list[Manifest]) -> None:
    """Every container of ours runs without root, rights or a writable file system, and says why it failed."""
    for container in containers(manifests):
        security = dict(container["securityContext"])
        user = security.pop("runAsUser", None), security.pop("runAsGroup", None)

        assert security == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert user in ((65532, 65532), (None, None))
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]


def test_pods_are_hardened(manifests: list[Manifest]) -> None:
    """Every pod of ours runs once, has no token of a service account, and mounts what it declares."""
    for pod in pods([m for m in manifests if m["kind"] != "Deployment"]):
        assert pod["restartPolicy"] == "Never"
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        assert "initContainers" not in pod
    for pod in pods(manifests):
        mounted = {mount["name"] for c in containers_of(pod) for mount in c.get("volumeMounts", [])}
        assert mounted == {volume["name"] for volume in pod.get("volumes", [])}


def containers_of(pod: Manifest) -> list[Any]:
    """Return all containers of a pod."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def test_no_secret_is_in_a_manifest(manifests: list[Manifest]) -> None:
    """URLs come from Secrets alone, as a file or as a variable, and never both."""
    for container in containers(manifests):
        given = {variable["name"]: variable for variable in container["env"]}
        urls = {name for name in given if "_DATABASE_URL" in name}

        assert urls
        for name in urls:
            assert name.endswith("_FILE") or "secretKeyRef" in given[name]["valueFrom"]
            assert f"{name}_FILE" not in urls
    assert "postgresql://" not in json.dumps(manifests)


def test_everything_carries_the_recommended_labels(manifests: list[Manifest]) -> None:
    """Everything of ours carries the recommended labels, and so do its pods."""
    wanted = {"name", "instance", "version", "part-of", "managed-by"}
    for manifest in [m for m in manifests if m["kind"] != "Deployment"]:
        assert {f"app.kubernetes.io/{name}" for name in wanted} <= set(manifest["metadata"]["labels"])
        spec = manifest.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            assert spec["template"]["metadata"]["labels"] == manifest["metadata"]["labels"]


def seconds(text: str) -> float:
    """Return a duration in seconds, as the command line reads it."""
    return DURATION.convert(text, None, None)


def test_a_job_may_run_longer_than_its_command_may_wait(manifests: list[Manifest]) -> None:
    """activeDeadlineSeconds is above what the container may wait: --lock-wait and --deadline together."""
    for job in [m for m in manifests if m["kind"] == "Job"]:
        (container,) = job["spec"]["template"]["spec"]["containers"]
        options = dict(word.split("=") for word in container["args"] if "=" in word)

        assert job["spec"]["activeDeadlineSeconds"] > seconds(options["--lock-wait"]) + seconds(
            options["--deadline"]
        )


def test_the_chart_has_the_version_of_the_program() -> None:
    """The chart is of this version of the program."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))

    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
