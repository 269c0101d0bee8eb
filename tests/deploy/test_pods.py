"""The chart's pods, played by podman: init containers in their order, under their user, on their file system.

They run when AOC_TEST_PLAY names the command that plays a Pod (``podman play kube --network host``), and the two
variables that build and run the image are set. Podman takes the kubelet's part; only the image and the source of
the Secret's file differ from the manifests.
"""

import os
import shlex
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from tests.conftest import Database
from tests.deploy.conftest import CHART, REPOSITORY, TAG, Helm, Manifest, Run, pods
from tests.fingerprint import fingerprint
from tests.helpers import wait_until

SERVICE = ["/opt/aoc/bin/python", "-c", "import os; print('guard:', os.environ['AOC_GUARD_ENABLED'])"]
KEEP_INIT = "io.podman.annotations.init.container.type"  # else podman removes what ended well, with its log
RETROFIT = "flags.AOC_ALLOW_SUPERSEDES_RETROFIT=true"


@dataclass
class Kubelet:
    """Plays Pods, and reports how their containers ended."""

    play: list[str]
    folder: Path
    claim: Path

    def start(self, spec: Manifest, *others: Manifest) -> str:
        """Run the Pod of a template, and return its name; `exit_code` reports a failed init container."""
        name = f"aoc-{uuid.uuid4().hex[:8]}"
        for container in spec["containers"]:
            if not container["image"].startswith(REPOSITORY):
                container |= {"image": f"{REPOSITORY}:{TAG}", "imagePullPolicy": "Never", "command": SERVICE}
        for volume in spec["volumes"]:
            if volume.pop("persistentVolumeClaim", None):
                volume["hostPath"] = {"path": str(self.claim)}
                continue
            assert volume.pop("secret")["items"][0]["path"] in ("url", "password")
            volume["hostPath"] = {"path": str(self.folder)}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "annotations": {KEEP_INIT: "always"}},
            "spec": spec | {"restartPolicy": "Never", "hostNetwork": True},
        }
        file = self.folder.parent / f"{name}.yaml"
        file.write_text(yaml.safe_dump_all([*others, pod]), encoding="utf-8")
        said = self.run(*self.play[1:], str(file))
        assert "Error" not in said or "init container" in said, said
        return name

    def run(self, *words: str) -> str:
        """Run podman, and return what it and the container say."""
        ran = subprocess.run([self.play[0], *words], check=False, capture_output=True, text=True, timeout=120)
        return ran.stdout + ran.stderr

    def exit_code(self, pod: str, container: str) -> int:
        """Wait for a container, and return its exit code."""
        return int(self.run("wait", f"{pod}-{container}"))

    def logs(self, pod: str, container: str) -> str:
        """Return what a container wrote."""
        return self.run("logs", f"{pod}-{container}")


@pytest.fixture
def kubelet(image: Run, tmp_path: Path, concelier: Database) -> Any:
    """Podman, with the owner's URL and password of concelier in place of each Secret."""
    play = os.environ.get("AOC_TEST_PLAY")
    if not play:
        pytest.skip("no podman: set AOC_TEST_PLAY='podman play kube --network host'")
    folder = tmp_path / "secret"
    folder.mkdir()
    (folder / "url").write_text(concelier.url, encoding="utf-8")
    (folder / "password").write_text(concelier.connection.info.password, encoding="utf-8")
    for path in (*reversed(tmp_path.parents[:2]), tmp_path, folder):
        path.chmod(0o755)
    claim = tmp_path / "claim"
    claim.mkdir()
    claim.chmod(0o777)
    kubelet = Kubelet(shlex.split(play), folder, claim)
    yield kubelet
    for file in tmp_path.glob("*.yaml"):
        kubelet.run("pod", "rm", "--force", file.stem)


def template(helm: Helm, *words: str | Path, chart: Path = CHART) -> list[Manifest]:
    """Return manifests that name the image of the tests."""
    prefix = "" if chart == CHART else "aoc-migrate."
    registry, _, repository = REPOSITORY.partition("/")
    image = f"image.registry={registry},image.repository={repository},image.tag={TAG},image.pullPolicy=Never"
    wanted = f"{image},{RETROFIT}"
    settings = ",".join(f"{prefix}{setting}" for setting in wanted.split(","))
    return helm.template("--set", settings, *words, chart=chart)


def spec_of(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """Return the spec of the only pod of a manifest."""
    (spec,) = pods([m for m in manifests if m["kind"] == kind and name in m["metadata"]["name"]])
    return spec


def test_a_new_pod_respects_a_rollback(
    kubelet: Kubelet, helm: Helm, service_chart: Path, concelier: Database
) -> None:
    """Three Pods migrate one database, their services start; after a rollback a new Pod changes nothing."""
    concelier.add("1")
    (flags,) = [m for m in template(helm, chart=service_chart) if m["kind"] == "ConfigMap"]

    def start(_: int = 0) -> str:
        return kubelet.start(spec_of(template(helm, chart=service_chart), "Deployment", "concelier"), flags)

    with ThreadPoolExecutor(3) as replicas:
        up = list(replicas.map(start, range(3)))
    said = [kubelet.logs(pod, "aoc-migrate") for pod in up]
    assert [kubelet.exit_code(pod, "aoc-migrate") for pod in up] == [0, 0, 0], said
    assert ["nothing changed" in text for text in said].count(False) == 1, said
    assert [kubelet.exit_code(pod, "concelier") for pod in up] == [0, 0, 0]
    assert [kubelet.logs(pod, "concelier") for pod in up] == ["guard: true\n"] * 3

    words = ("--values", CHART / "values-rollback.yaml", "--set", "rollback.target=concelier")
    back = kubelet.start(spec_of(template(helm, *words), "Job", "concelier"))
    assert kubelet.exit_code(back, "aoc-migrate") == 0, kubelet.logs(back, "aoc-migrate")
    down = fingerprint(concelier.connection)

    again = start()
    assert kubelet.exit_code(again, "aoc-migrate") == 0
    assert "held" in kubelet.logs(again, "aoc-migrate")
    assert fingerprint(concelier.connection) == down


def test_a_service_starts_only_after_the_migration(kubelet: Kubelet, helm: Helm, service_chart: Path) -> None:
    """Before the migration the wait container ends with 3 and its service does not start; after it, it does."""
    manifests = template(helm, "--set", "aoc-migrate.wait.timeout=1s", chart=service_chart)

    early = kubelet.start(spec_of(manifests, "Deployment", "console"))
    assert kubelet.exit_code(early, "aoc-migrate-wait") == 3
    assert kubelet.logs(early, "console") == ""

    (flags,) = [m for m in manifests if m["kind"] == "ConfigMap"]
    kubelet.start(spec_of(manifests, "Deployment", "concelier"), flags)
    late = kubelet.start(spec_of(template(helm, chart=service_chart), "Deployment", "console"), flags)
    assert kubelet.exit_code(late, "aoc-migrate-wait") == 0
    assert "guard:" in kubelet.logs(late, "console")


def test_a_pod_obeys_sigterm_and_the_next_one_goes_on(
    kubelet: Kubelet, helm: Helm, service_chart: Path, concelier: Database
) -> None:
    """As process 1 of its container the command obeys SIGTERM, says what to type, and the next Pod goes on."""
    spec = spec_of(template(helm), "Job", "concelier")
    with psycopg.connect(concelier.url) as reader:
        reader.execute("SELECT FROM advisory_raw")
        pod = kubelet.start(spec)
        wait_until(lambda: "Ahead of us" in kubelet.logs(pod, "aoc-migrate"), 60)
        kubelet.run("kill", "--signal", "TERM", f"{pod}-aoc-migrate")
        assert kubelet.exit_code(pod, "aoc-migrate") == 143
    assert "run the same command again to resume" in kubelet.logs(pod, "aoc-migrate")

    again = kubelet.start(spec_of(template(helm), "Job", "concelier"))
    assert kubelet.exit_code(again, "aoc-migrate") == 0


def test_a_pod_leaves_its_evidence_on_the_claim(kubelet: Kubelet, helm: Helm) -> None:
    """A Pod that can write nowhere else leaves the evidence of its upgrade on the claim."""
    manifests = template(helm, "--set", "evidence.persistentVolumeClaim=aoc")

    pod = kubelet.start(spec_of(manifests, "Job", "concelier"))

    assert kubelet.exit_code(pod, "aoc-migrate") == 0, kubelet.logs(pod, "aoc-migrate")
    (run,) = [path for path in kubelet.claim.iterdir() if path.is_dir()]
    assert (run / "SHA256SUMS").exists()


def test_a_pod_connects_by_host_and_password(kubelet: Kubelet, helm: Helm, concelier: Database) -> None:
    """A Pod connects by host, user and database of the values and the password that is mounted."""
    info, parts = concelier.connection.info, "targets.concelier.connection"
    place = {"host": info.host, "port": info.port, "database": info.dbname, "user": info.user}
    settings = [f"{parts}.{name}={value}" for name, value in place.items()]
    manifests = template(helm, "--set", ",".join([*settings, f"{parts}.passwordSecret.name=db-owner"]))

    pod = kubelet.start(spec_of(manifests, "Job", "concelier"))

    assert kubelet.exit_code(pod, "aoc-migrate") == 0, kubelet.logs(pod, "aoc-migrate")


def test_helm_test_runs_as_a_pod(kubelet: Kubelet, helm: Helm) -> None:
    """The pod of `helm test` fails before the upgrade, and succeeds after it."""
    manifests = template(helm, "--set", "test.timeout=1s")

    early = kubelet.start(spec_of(manifests, "Pod", "concelier"))
    assert kubelet.exit_code(early, "aoc-migrate") == 3
    upgrade = kubelet.start(spec_of(manifests, "Job", "concelier"))
    assert kubelet.exit_code(upgrade, "aoc-migrate") == 0
    late = kubelet.start(spec_of(template(helm), "Pod", "concelier"))
    assert kubelet.exit_code(late, "aoc-migrate") == 0
