"""The Helm chart's values: what each way to run promises."""

from pathlib import Path
from typing import Any

import pytest

from tests.deploy.conftest import CHART, HERE, Helm, Manifest, containers

VALUES = HERE / "values"
GUARD_OFF = "flags.AOC_GUARD_ENABLED=false"
DOWNGRADE = f"{GUARD_OFF},rollback.enabled=true,rollback.command=downgrade"


def names(manifests: list[Manifest], kind: str) -> list[str]:
    """Return the names of the manifests of one kind."""
    return [m["metadata"]["name"] for m in manifests if m["kind"] == kind]


def test_the_hook_runs_before_the_release(helm: Helm) -> None:
    """The Job and what its pod needs are hooks of the same events; nothing of it waits for the release."""
    manifests = helm.template()
    hooks = {
        m["kind"]: m
        for m in manifests
        if m["metadata"].get("annotations", {}).get("helm.sh/hook") not in (None, "test")
    }
    annotations = {kind: hook["metadata"]["annotations"] for kind, hook in hooks.items()}

    assert {kind: known["helm.sh/hook"] for kind, known in annotations.items()} == dict.fromkeys(
        ("Job", "NetworkPolicy", "ServiceAccount"), "pre-install,pre-upgrade"
    )
    weights = {kind: int(known["helm.sh/hook-weight"]) for kind, known in annotations.items()}
    assert max(weights["ServiceAccount"], weights["NetworkPolicy"]) < weights["Job"]
    for job in [m for m in manifests if m["kind"] == "Job"]:
        account = job["spec"]["template"]["spec"]["serviceAccountName"]
        assert account == hooks["ServiceAccount"]["metadata"]["name"]


@pytest.mark.parametrize("mode", ["hook", "job"])
def test_helm_test_needs_nothing_of_the_hooks(mode: str, helm: Helm) -> None:
    """`helm test` has a pod per target, whose account and network policy belong to the release."""
    manifests = helm.template("--set", f"mode={mode}")
    tests = [m for m in manifests if m["kind"] == "Pod"]
    kept = {(m["kind"], m["metadata"]["name"]) for m in manifests if "annotations" not in m["metadata"]}

    assert {m["metadata"]["annotations"]["helm.sh/hook"] for m in tests} == {"test"}
    assert [next(containers([m]))["args"] for m in tests] == [
        ["wait", "concelier", "--timeout=30s"],
        ["wait", "excititor", "--timeout=30s"],
    ]
    assert {m["spec"]["serviceAccountName"] for m in tests} == {"stella-aoc-migrate"}
    assert {("ServiceAccount", "stella-aoc-migrate"), ("NetworkPolicy", "stella-aoc-migrate")} <= kept


def test_a_plain_job_is_named_after_its_content(helm: Helm) -> None:
    """Same values, same Job; whatever changes in the Job changes its name, because Jobs cannot be changed."""
    first, again = (names(helm.template("--set", "mode=job"), "Job") for _ in range(2))
    changed = names(helm.template("--set", "mode=job,targets.concelier.deadline=11m"), "Job")

    assert first == again
    assert first[0] != changed[0]
    assert first[0].startswith("stella-aoc-migrate-concelier-0-1-0-")
    assert first[1] == changed[1]


def test_the_ticket_reaches_our_pods(helm: Helm) -> None:
    """With a ticket, each of our containers has it as AOC_TICKET; without one, none has the variable."""
    without, with_ticket = (
        [{each["name"]: each.get("value") for each in container.get("env", [])} for container in containers(m)]
        for m in (helm.template(), helm.template("--set-string", "ticket=CHG-1234"))
    )

    assert not any("AOC_TICKET" in variables for variables in without)
    assert {variables["AOC_TICKET"] for variables in with_ticket} == {"CHG-1234"}


def test_names_fit_and_are_unique(helm: Helm) -> None:
    """With the longest name of a release, every name is one that Kubernetes takes, and none is there twice."""
    values = ("--values", CHART / "values-rollback.yaml", "--values", VALUES / "verify.yaml")
    for more in ("mode=job", "mode=hook", "mode=job,rollback.enabled=false,flags.AOC_GUARD_ENABLED=true"):
        manifests = helm.template(*values, "--set", more, release="a" * 53)
        found = [(m["kind"], m["metadata"]["name"]) for m in manifests]

        assert len(found) == len(set(found))
        for kind, name in found:
            assert len(name) <= (52 if kind == "CronJob" else 63)


def test_mode_none_renders_only_the_flags(helm: Helm) -> None:
    """Without Jobs, the release is the ConfigMap with the guide's five flags and their defaults."""
    (config,) = helm.template("--set", "mode=none")

    assert config["kind"] == "ConfigMap"
    assert config["data"] == {
        "AOC_GUARD_ENABLED": "true",
        "AOC_ALLOW_SUPERSEDES_RETROFIT": "false",
        "AOC_METRICS_ENABLED": "true",
        "AOC_TENANT_HEADER": "X-Stella-Tenant",
        "AOC_VERIFIER_USER": "stella-aoc-verify",
    }


@pytest.mark.parametrize("mode", ["hook", "job", "none"])
def test_a_rollback_runs_once_for_each_target(mode: str, helm: Helm) -> None:
    """In every mode a rollback replaces the upgrade, runs once per target, and the CronJob pauses."""
    values = ("--values", VALUES / "rollback.yaml", "--values", CHART / "values-rollback.yaml")
    manifests = helm.template(*values, "--set", f"mode={mode}")
    jobs = [m for m in manifests if m["kind"] == "Job"]

    assert [next(containers([job]))["args"][:3] for job in jobs] == [
        ["constraints", "concelier", "--remove"],
        ["constraints", "excititor", "--remove"],
    ]
    for job in jobs:
        assert job["spec"]["backoffLimit"] == 0
        assert {"name": "AOC_GUARD_ENABLED", "value": "false"} in next(containers([job]))["env"]
        assert job["metadata"].get("annotations", {}).get("helm.sh/hook") == (
            "post-upgrade" if mode == "hook" else None
        )
    (config,) = [m for m in manifests if m["kind"] == "ConfigMap"]
    assert config["data"]["AOC_GUARD_ENABLED"] == "false"
    (verify,) = [m for m in manifests if m["kind"] == "CronJob"]
    assert verify["spec"]["suspend"] is True


def test_base_takes_down_each_enabled_target(helm: Helm) -> None:
    """A downgrade to base goes down in each enabled target, each in a Job of its own."""
    jobs = [m for m in helm.template("--set", f"{DOWNGRADE},rollback.revision=base") if m["kind"] == "Job"]

    assert [next(containers([job]))["args"][:3] for job in jobs] == [
        ["downgrade", "concelier", "base"],
        ["downgrade", "excititor", "base"],
    ]


def test_a_service_that_waits_never_sees_the_owner(helm: Helm, service_chart: Path) -> None:
    """A wait container reads the verifier's Secret where one is named, and the owner's otherwise."""

    def secrets(*words: str) -> dict[str, list[Any]]:
        manifests = helm.template(*words, chart=service_chart)
        specs = {
            m["metadata"]["name"]: m["spec"]["template"]["spec"] for m in manifests if m["kind"] == "Deployment"
        }
        return {name: [v["secret"]["secretName"] for v in spec["volumes"]] for name, spec in specs.items()}

    assert secrets() == {"concelier": ["concelier-database"], "console": ["concelier-verifier"]}
    unnamed = secrets("--set", "aoc-migrate.targets.concelier.verifierUrlSecret.name=")
    assert unnamed["console"] == ["concelier-database"]


def test_the_network_policy_allows_only_what_is_needed(helm: Helm) -> None:
    """Our pods reach PostgreSQL's ports (where the values say), the push gateway and DNS; nobody reaches them."""
    (policy,) = [m for m in helm.template("--values", VALUES / "job.yaml") if m["kind"] == "NetworkPolicy"]
    postgresql, gateway, dns = policy["spec"]["egress"]

    assert sorted(policy["spec"]["policyTypes"]) == ["Egress", "Ingress"]
    assert "ingress" not in policy["spec"]
    assert {port["port"] for port in postgresql["ports"]} == {5432, 6432}
    assert postgresql["to"] == [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
    assert gateway == {"ports": [{"protocol": "TCP", "port": 9091}]}
    assert [port["port"] for port in dns["ports"]] == [53, 53, 5353, 5353]
