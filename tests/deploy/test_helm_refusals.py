"""What the chart refuses: each refusal names the value, and says what to write."""

import pytest

from tests.deploy.conftest import Helm

GUARD_OFF = "flags.AOC_GUARD_ENABLED=false"
DOWNGRADE = f"{GUARD_OFF},rollback.enabled=true,rollback.command=downgrade"
CONNECTION = "targets.concelier.connection"
PARTS = f"{CONNECTION}.host=db,{CONNECTION}.user=stella"


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("mode=sidecar", "mode"),
        ("moed=hook", "moed"),
        ("targets.concelier.max-stall=1s", "max-stall"),
        ("targets.vexer.enabled=true", "vexer"),
        ("targets.concelier.urlSecret.as=configmap", "targets.concelier.urlSecret.as"),
        ("targets.concelier.connection.port=0", "targets.concelier.connection.port"),
        ("flags.AOC_GUARD_ENABLED=maybe", "flags.AOC_GUARD_ENABLED"),
        ("flags.AOC_GUARD=true", "AOC_GUARD"),
        ("flags.AOC_VERIFIER_USER=", "flags.AOC_VERIFIER_USER"),
        ("imagePullSecrets[0].name=registry", "imagePullSecrets"),
        ("image.pullSecrets={registry}", "image.pullSecrets.0"),
        ("rollback.command=drop", "rollback.command"),
        ("upgrade.activeDeadlineSeconds=4h", "upgrade.activeDeadlineSeconds"),
        ("upgrade.extraArgs=--max-lag=1GB", "upgrade.extraArgs"),
        ("commonLabels.team=7", "commonLabels.team"),
        ("extraEnv[0].value=x", "extraEnv.0"),
        ("ttlSecondsAfterFinished=-1", "ttlSecondsAfterFinished"),
        ("runAsUser=0", "runAsUser"),
        ("tls.mode=verify", "tls.mode"),
        ("verify=null", "verify"),
    ],
)
def test_the_schema_refuses_wrong_values(setting: str, named: str, helm: Helm) -> None:
    """A value of the wrong kind, a name that does not exist and a missing section are refused, and named."""
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
        (
            "verify.enabled=true",
            "targets.concelier.verifierUrlSecret.name is empty: name the Secret that holds the URL of the "
            "read-only role, or set targets.concelier.connection.verifier.user.",
        ),
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
        (
            "image.repository=registry.example/stellaops/aoc-migrate",
            "image.repository=registry.example/stellaops/aoc-migrate begins with a registry: write "
            "image.registry=registry.example and image.repository=stellaops/aoc-migrate.",
        ),
        (
            "upgrade.extraArgs={--deadline=5m}",
            "upgrade.extraArgs[0]=--deadline=5m sets what another value sets: "
            "write targets.TARGET.deadline instead.",
        ),
        (
            "verify.extraArgs={-v,--accept 'foreign-code:public.audit()'}",
            "verify.extraArgs[1]=--accept 'foreign-code:public.audit()' is not one word of a command line: write "
            "--accept=foreign-code:public.audit(), without quotes around the value.",
        ),
        ("run.args={chain,--apply}", "run.args=chain --apply names no target: write one after the command"),
        (
            f"{GUARD_OFF},rollback.enabled=true,run.args={{chain,concelier}}",
            "run.args=chain concelier and rollback.enabled are both set: leave one of them out.",
        ),
        ("run.args={dedupe,concelier,--keep newest}", "write --keep=newest, without quotes around the value."),
        (
            "commonLabels.app\\.kubernetes\\.io/name=x",
            "commonLabels has app.kubernetes.io/name, by which the chart finds its pods: leave it out.",
        ),
        ("podLabels.app\\.kubernetes\\.io/component=x", "podLabels has app.kubernetes.io/component, by which"),
        ("extraEnv[0].name=AOC_IMAGE", "extraEnv has AOC_IMAGE, which the chart sets: write image instead."),
        (
            "extraEnv[0].name=AOC_GUARD_ENABLED",
            "extraEnv has AOC_GUARD_ENABLED, which the chart sets: write flags.AOC_GUARD_ENABLED instead.",
        ),
        (
            "extraEnv[0].name=CONCELIER_DATABASE_URL_FILE",
            "extraEnv has CONCELIER_DATABASE_URL_FILE, which the chart sets: write targets instead.",
        ),
        (f"{CONNECTION}.host=db", f"{CONNECTION}.host=db has no role: write {CONNECTION}.user."),
        (
            f"{CONNECTION}.user=stella",
            f"{CONNECTION}.user=stella has no server: write {CONNECTION}.host.",
        ),
        (f"{PARTS},{CONNECTION}.database=", f"{CONNECTION}.database is empty: write the name of the database"),
        (
            f"{CONNECTION}.passwordSecret.name=db",
            f"{CONNECTION}.passwordSecret.name=db has no role: write {CONNECTION}.user.",
        ),
        (
            f"{PARTS},targets.concelier.urlSecret.name=concelier-database",
            f"{CONNECTION}.user and targets.concelier.urlSecret.name are both set: leave one of them out.",
        ),
        (
            f"{PARTS},{CONNECTION}.verifier.user=v,targets.concelier.verifierUrlSecret.name=concelier-verifier",
            f"{CONNECTION}.verifier.user and targets.concelier.verifierUrlSecret.name are both set",
        ),
        (f"{PARTS},{CONNECTION}.verifier.user=stella", "verification needs a read-only role"),
        (
            f"{PARTS},{CONNECTION}.port=6432",
            f"{CONNECTION}.port=6432 is not in networkPolicy.ports, so that our pods could not reach it: "
            "add it there.",
        ),
    ],
)
def test_the_templates_refuse_contradictions(setting: str, refusal: str, helm: Helm) -> None:
    """Values that contradict each other are refused in one sentence that says what to set."""
    assert refusal in helm.refusal("--set", setting)
