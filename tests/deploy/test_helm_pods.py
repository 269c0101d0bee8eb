"""The chart's pods where a platform asks more of them: images, labels, nodes, sidecars, accounts, claims."""

from typing import Any

import pytest
import yaml

from tests.deploy.conftest import CHART, HERE, Helm, Manifest, containers, pods, spec_of_job

EVERYTHING = HERE / "values" / "everything.yaml"


@pytest.fixture
def everything(helm: Helm) -> list[Manifest]:
    """The manifests of the values file that uses every value."""
    return helm.template("--values", EVERYTHING)


def given() -> Any:
    """Return the values of that file."""
    return yaml.safe_load(EVERYTHING.read_text(encoding="utf-8"))


def paths(values: Any, known: Any, path: str = "") -> set[str]:
    """Return the paths of the values that the chart knows."""
    if not (isinstance(values, dict) and isinstance(known, dict) and known):
        return {path}
    return {
        below
        for name in values
        for below in paths(values[name], known.get(name), f"{path}.{name}".removeprefix("."))
    }


def test_each_value_is_in_a_golden_file() -> None:
    """Each value of the chart is set in one of the values files of the tests."""
    chart = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in (HERE / "values").iterdir()]
    used = {path.replace("excititor", "concelier") for values in files for path in paths(values, chart)}

    unused = {path for path in paths(chart, chart) if "excititor" not in path} - used

    assert sorted(unused) == []


@pytest.mark.parametrize(
    ("setting", "image"),
    [
        ("image.registry=mirror.example:5000", "mirror.example:5000/stellaops/aoc-migrate:0.1.0"),
        ("image.registry=mirror.example/hub", "mirror.example/hub/stellaops/aoc-migrate:0.1.0"),
        ("image.registry=,image.repository=aoc-migrate,image.tag=test", "aoc-migrate:test"),
        (f"image.digest=sha256:{'0' * 64}", f"registry.example/stellaops/aoc-migrate@sha256:{'0' * 64}"),
    ],
)
def test_one_value_names_the_registry(setting: str, image: str, helm: Helm) -> None:
    """The registry is one value, and every container of ours has its image from there."""
    manifests = helm.template("--set", setting)

    assert {container["image"] for container in containers(manifests)} == {image}


@pytest.mark.parametrize(
    ("values", "release", "prefix"),
    [
        ("nameOverride=aoc", "stella", "stella-aoc"),
        ("nameOverride=stella", "stella-prod", "stella-prod"),
        ("fullnameOverride=feeds", "stella", "feeds"),
        (f"nameOverride={'n' * 20}", "r" * 53, f"{'r' * 9}-{'n' * 20}"),
    ],
)
def test_names_begin_as_the_values_say(values: str, release: str, prefix: str, helm: Helm) -> None:
    """nameOverride replaces the chart's name, fullnameOverride for the whole beginning."""
    manifests = helm.template("--set", values, release=release)

    assert {
        m["metadata"]["name"].removeprefix(prefix)[0] for m in manifests if m["metadata"]["name"] != prefix
    } == {"-"}
    assert len(prefix) <= 30


def test_common_labels_are_everywhere_but_in_selectors(everything: list[Manifest]) -> None:
    """Everything has the common labels, pods those for pods too; selectors have only what never changes."""
    for manifest in everything:
        assert manifest["metadata"]["labels"].items() >= given()["commonLabels"].items()
    for manifest in everything:
        if manifest["kind"] in ("Job", "CronJob"):
            labels = spec_of_job(manifest)["template"]["metadata"]["labels"]
            assert labels.items() >= {**given()["commonLabels"], **given()["podLabels"]}.items()
        if manifest["kind"] == "NetworkPolicy":
            selector = manifest["spec"]["podSelector"]["matchLabels"]
            assert set(selector) == {"app.kubernetes.io/name", "app.kubernetes.io/instance"}
            assert selector["app.kubernetes.io/name"] == "aoc"


def test_pods_go_where_the_values_say(everything: list[Manifest]) -> None:
    """Every pod of ours has the values' nodes, priority, pull secrets and annotations."""
    same = ("affinity", "tolerations", "nodeSelector", "topologySpreadConstraints", "priorityClassName")
    found = list(pods(everything))

    assert len(found) == 5
    for pod in found:
        assert {field: pod[field] for field in same} == {field: given()[field] for field in same}
        assert pod["imagePullSecrets"] == [{"name": "mirror"}]
    for manifest in everything:
        if manifest["kind"] == "Job":
            assert manifest["spec"]["template"]["metadata"]["annotations"] == given()["podAnnotations"]


def test_sidecars_are_passed_on(everything: list[Manifest]) -> None:
    """Containers, volumes, mounts and variables of the values reach every pod of ours, after our own."""
    for pod in pods(everything):
        assert pod["initContainers"] == given()["extraInitContainers"]
        assert pod["containers"][1:] == given()["extraContainers"]
        assert pod["volumes"][-1:] == given()["extraVolumes"]
    for container in containers(everything):
        assert container["volumeMounts"][-1:] == given()["extraVolumeMounts"]
        assert container["env"][-2:] == given()["extraEnv"]
        assert container["envFrom"] == given()["extraEnvFrom"]


def test_a_services_pod_gets_variables_and_mounts(helm: Helm, service_chart: Any) -> None:
    """Variables, mounts and volumes reach the containers in the services' own charts too."""
    extra = {name: value for name, value in given().items() if name.startswith("extra")}
    file = service_chart.parent / "extra.yaml"
    file.write_text(yaml.safe_dump({"aoc-migrate": extra}), encoding="utf-8")

    manifests = helm.template("--values", file, chart=service_chart)

    for pod in pods(manifests):
        assert pod["volumes"][-1:] == extra["extraVolumes"]
        assert [c["name"] for c in pod["containers"]] in (["concelier"], ["console"])
    for container in containers(manifests):
        assert container["volumeMounts"][-1:] == extra["extraVolumeMounts"]
        assert container["env"][-2:] == extra["extraEnv"]
        assert container["envFrom"] == extra["extraEnvFrom"]


def test_every_account_has_the_annotations(helm: Helm) -> None:
    """The annotations of a cloud's IAM are on both accounts, the hooks' one included."""
    role = "serviceAccount.annotations.iam\\.gke\\.io/gcp-service-account=aoc@project"
    accounts = [m for m in helm.template("--set", role) if m["kind"] == "ServiceAccount"]

    assert [account["metadata"]["annotations"]["iam.gke.io/gcp-service-account"] for account in accounts] == [
        "aoc@project"
    ] * 2


@pytest.mark.parametrize(("mode", "expected"), [("job", [7]), ("hook", [])])
def test_only_plain_jobs_are_deleted_by_time(mode: str, expected: list[int], helm: Helm) -> None:
    """A finished Job is deleted after ttlSecondsAfterFinished, but for a hook, whose end others wait for."""
    jobs = [m for m in helm.template("--set", f"mode={mode},ttlSecondsAfterFinished=7") if m["kind"] == "Job"]

    assert jobs
    assert sorted(
        {job["spec"]["ttlSecondsAfterFinished"] for job in jobs if "ttlSecondsAfterFinished" in job["spec"]}
    ) == (expected)


@pytest.mark.parametrize(("user", "group"), [("65532", 65532), ("null", None)])
def test_the_claim_is_writable_for_our_user(user: str, group: int | None, helm: Helm) -> None:
    """Upgrades mount the claim and write evidence there; its group is ours, or the cluster's choice."""
    manifests = helm.template("--set", f"evidence.persistentVolumeClaim=aoc,runAsUser={user}")
    (first, _) = [m for m in manifests if m["kind"] == "Job"]
    (container,) = containers([first])
    (pod,) = pods([first])

    assert "--evidence=/var/lib/aoc-migrate/evidence" in container["args"]
    assert {"name": "aoc-evidence", "mountPath": "/var/lib/aoc-migrate/evidence"} in container["volumeMounts"]
    assert {"name": "aoc-evidence", "persistentVolumeClaim": {"claimName": "aoc"}} in pod["volumes"]
    assert pod["securityContext"].get("fsGroup") == group
    assert not [c for c in containers(manifests) if c["args"][0] != "upgrade" and "aoc-evidence" in str(c)]
