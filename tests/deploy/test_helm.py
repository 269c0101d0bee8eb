"""The Helm chart: what it renders, and what holds for every pod."""

import difflib
import json
import os
import re
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
from tests.deploy.processes import EVIDENCE, words

GOLDEN = HERE / "golden"
VALUES = sorted((HERE / "values").glob("*.yaml"))
VALUES_OF = {path.stem: path for path in VALUES}
CASES = [*VALUES_OF, "service"]
OLDEST = "1.26"


def rendered(helm: Helm, service: Path, case: str, *words: str) -> list[Manifest]:
    """Return the manifests of a values file, or of the service's chart."""
    if case == "service":
        return helm.template(*words, chart=service)
    return helm.template("--values", VALUES_OF[case], *words)


@pytest.fixture(params=CASES)
def manifests(request: pytest.FixtureRequest, helm: Helm, service_chart: Path) -> list[Manifest]:
    """The manifests of each case in turn."""
    return rendered(helm, service_chart, request.param)


@pytest.mark.parametrize("case", CASES)
def test_the_chart_renders_the_golden_manifests(case: str, helm: Helm, service_chart: Path) -> None:
    """The chart makes the manifests that are in tests/deploy/golden."""
    path = GOLDEN / f"{case}.yaml"
    manifests = rendered(helm, service_chart, case)
    for data in [m["data"] for m in manifests if "aoc-migrate.json" in m.get("data", {})]:
        data["aoc-migrate.json"] = "files/dashboard.json"  # long, and compared in test_monitoring.py
    now = yaml.safe_dump_all(manifests, sort_keys=False)
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


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("case", CASES)
def test_kubernetes_knows_every_field(case: str, version: str, helm: Helm, service_chart: Path) -> None:
    """The oldest Kubernetes that the chart allows and the newest one know every field, but for sidecars (1.29)."""
    manifests = rendered(helm, service_chart, case, "--kube-version", version)

    for manifest in [m for m in manifests if m["kind"] != "PrometheusRule"]:
        for sidecar in [c for pod in pods([manifest]) for c in pod.get("initContainers", [])]:
            if version == OLDEST:
                sidecar.pop("restartPolicy", None)
        kubernetes_validate.validate(manifest, version, strict=True)


def test_the_chart_names_the_oldest_kubernetes() -> None:
    """Chart.yaml names the oldest Kubernetes that the tests validate for, and the version of the program."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))

    assert chart["kubeVersion"] == f">={OLDEST}.0-0"
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def test_every_command_line_parses(manifests: list[Manifest], tmp_path: Path) -> None:
    """Every container's words and options exist: the command gets as far as reading its Secret."""
    for container in containers(manifests):
        unset = dict.fromkeys(f"{t}_DATABASE_URL{f}" for t in ("CONCELIER", "EXCITITOR") for f in ("", "_FILE"))
        ran = CliRunner(env=unset).invoke(cli, words(container, {EVIDENCE: tmp_path}))

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
        security = dict(pod["securityContext"])
        claims = [volume for volume in pod.get("volumes", []) if "persistentVolumeClaim" in volume]
        group = security.pop("fsGroup", None), security.pop("fsGroupChangePolicy", None)

        assert pod["restartPolicy"] == "Never"
        assert pod["automountServiceAccountToken"] is False
        assert security == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        assert group == ((65532, "OnRootMismatch") if claims else (None, None))
    for pod in pods(manifests):
        mounted = {mount["name"] for c in containers_of(pod) for mount in c.get("volumeMounts", [])}
        assert mounted == {volume["name"] for volume in pod.get("volumes", [])}


def containers_of(pod: Manifest) -> list[Any]:
    """Return all containers of a pod."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def test_no_secret_is_in_a_manifest(manifests: list[Manifest]) -> None:
    """A URL comes from a Secret, as a file or as a variable, or has no password; a password comes from one."""
    for container in containers(manifests):
        given = {variable["name"]: variable for variable in container["env"] if "_DATABASE_" in variable["name"]}
        urls = [name for name in given if re.search("_URL(_FILE)?$", name)]
        plain = [name for name in given if name.endswith(("_URL", "_PASSWORD")) and "value" in given[name]]

        assert urls
        assert len(urls) == len({name.removesuffix("_FILE") for name in urls})
        assert [name for name in plain if not re.match("postgresql://[^:/@]+@", given[name]["value"])] == []
    assert re.findall("postgresql://[^/@]*:[^/@]*@", json.dumps(manifests)) == []


def test_everything_carries_the_recommended_labels(manifests: list[Manifest]) -> None:
    """Everything of ours is in the release's namespace with the recommended labels, and so are its pods."""
    wanted = {"name", "instance", "version", "part-of", "managed-by"}
    for manifest in [m for m in manifests if m["kind"] != "Deployment"]:
        labels = manifest["metadata"]["labels"]
        assert {f"app.kubernetes.io/{name}" for name in wanted} <= set(labels)
        assert manifest["metadata"]["namespace"] == "stella"
        spec = manifest.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            assert spec["template"]["metadata"]["labels"].items() >= labels.items()


def seconds(text: str) -> float:
    """Return a duration in seconds, as the command line reads it."""
    return DURATION.convert(text, None, None)


def test_a_job_may_run_longer_than_its_command_may_wait(manifests: list[Manifest]) -> None:
    """activeDeadlineSeconds is above what the container may wait: --lock-wait and --deadline together."""
    for job in [m for m in manifests if m["kind"] == "Job"]:
        (container,) = containers([job])
        given = dict(word.split("=", 1) for word in container["args"] if "=" in word)
        options = {"--lock-wait": "30m", "--deadline": "10m"} | given

        assert job["spec"]["activeDeadlineSeconds"] > seconds(options["--lock-wait"]) + seconds(
            options["--deadline"]
        )
