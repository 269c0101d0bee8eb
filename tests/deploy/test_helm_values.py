"""The Helm chart's values: what is refused, and what each way to run promises."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.deploy.conftest import CHART, HERE, Helm, Manifest, containers

VALUES = HERE / "values"
GUARD_OFF = "flags.AOC_GUARD_ENABLED=false"
DOWNGRADE = f"{GUARD_OFF},rollback.enabled=true,rollback.command=downgrade"


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("mode=sidecar", "mode"),
        ("moed=hook", "moed"),
        ("targets.concelier.max-stall=1s", "max-stall"),
        ("targets.vexer.enabled=true", "vexer"),
        ("targets.concelier.deadline=600", "targets.concelier.deadline"),
        ("targets.concelier.lockWait=30 min", "targets.concelier.lockWait"),
        ("targets.concelier.maxStall=-1s", "targets.concelier.maxStall"),
        ("targets.concelier.urlSecret.as=configmap", "targets.concelier.urlSecret.as"),
        ("flags.AOC_GUARD_ENABLED=maybe", "flags.AOC_GUARD_ENABLED"),
        ("flags.AOC_GUARD=true", "AOC_GUARD"),
        ("flags.AOC_TENANT_HEADER=X Tenant", "flags.AOC_TENANT_HEADER"),
        ("flags.AOC_VERIFIER_USER=", "flags.AOC_VERIFIER_USER"),
        ("rollback.revision=-1", "rollback.revision"),
        ("rollback.revision=head", "rollback.revision"),
        ("rollback.command=drop", "rollback.command"),
        ("upgrade.activeDeadlineSeconds=4h", "upgrade.activeDeadlineSeconds"),
        ("runAsUser=0", "runAsUser"),
        ("tls.mode=verify", "tls.mode"),
        ("image.digest=sha256:1", "image.digest"),
        ("metrics.pushGateway=pushgateway:9091", "metrics.pushGateway"),
        ("ticket=CHG\n1", "ticket"),
    ],
)
def test_the_schema_refuses_wrong_values(setting: str, named: str, helm: Helm) -> None:
    """A value of the wrong kind and a name that does not exist are refused, and named."""
    refused = helm.refusal("--set", setting)

    assert "schema" in refused
    assert named in refused.replace("/", ".")


@pytest.mark.parametrize(
    ("setting", "refusal"),
    [
        (
            "upgrade.activeDeadlineSeconds=2400",
            "upgrade.activeDeadlineSeconds=2400 is not above lockWait=30m plus",
        ),
        ("targets.excititor.lockWait=1.5h,targets.excititor.deadline=2.5h", "Raise it above 14400."),
        ("targets.concelier.maxStall=11m", "targets.concelier.maxStall=11m is longer than deadline=10m"),
        ("targets.concelier.enabled=false,targets.excititor.enabled=false", "no target is enabled"),
        ("targets.concelier.urlSecret.name=", "targets.concelier.urlSecret.name is empty"),
        ("verify.enabled=true", "targets.concelier.verifierUrlSecret.name is empty"),
        (
            "verify.enabled=true,targets.concelier.verifierUrlSecret.name=concelier-database",
            "verification needs a read-only role",
        ),
        ("rollback.enabled=true", "the services' guard goes off first"),
        (DOWNGRADE, "needs rollback.revision"),
        (
            f"{DOWNGRADE},rollback.revision=concelier_0004",
            "no revision of excititor: set rollback.target=concelier",
        ),
        (f"{GUARD_OFF},rollback.enabled=true,rollback.revision=base", "rollback.revision is for"),
        (
            f"{GUARD_OFF},rollback.enabled=true,rollback.activeDeadlineSeconds=2400",
            "rollback.activeDeadlineSeconds=2400 is not above",
        ),
    ],
)
def test_the_templates_refuse_contradictions(setting: str, refusal: str, helm: Helm) -> None:
    """Values that contradict each other are refused in one sentence that says what to set."""
    assert refusal in helm.refusal("--set", setting)


def names(manifests: list[Manifest], kind: str) -> list[str]:
    """Return the names of the manifests of one kind."""
    return [m["metadata"]["name"] for m in manifests if m["kind"] == kind]


def test_the_hook_runs_before_the_release(helm: Helm) -> None:
    """The Job and what its pod needs are hooks of the same events; nothing of it waits for the release."""
    manifests = helm.template()
    hooks = {m["kind"]: m["metadata"]["annotations"] for m in manifests if "annotations" in m["metadata"]}

    assert {kind: known["helm.sh/hook"] for kind, known in hooks.items()} == dict.fromkeys(
        ("Job", "NetworkPolicy", "ServiceAccount"), "pre-install,pre-upgrade"
    )
    assert int(hooks["ServiceAccount"]["helm.sh/hook-weight"]) < int(hooks["Job"]["helm.sh/hook-weight"])
    (account,) = names(manifests, "ServiceAccount")
    for job in [m for m in manifests if m["kind"] == "Job"]:
        assert job["spec"]["template"]["spec"]["serviceAccountName"] == account


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
    assert [port["port"] for port in dns["ports"]] == [53, 53]


def test_the_readme_names_every_value() -> None:
    """The chart's README names each value of values.yaml's first level and of its targets."""
    readme = (ROOT / "deploy" / "helm" / "aoc-migrate" / "README.md").read_text(encoding="utf-8")
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))

    assert [name for name in {*values, *values["targets"]["concelier"]} if f"`{name}" not in readme] == []
