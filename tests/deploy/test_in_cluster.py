"""What the chart starts, run for real: rendered words and variables as processes, on a real PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Aoc, Database
from tests.deploy.conftest import CHART, HERE, Helm
from tests.deploy.processes import named, start

VALUES = HERE / "values"
RETROFIT = "flags.AOC_ALLOW_SUPERSEDES_RETROFIT=true"


def state(database: Database) -> Any:
    """Return the constraints, the indexes, and the revision."""
    return (
        database.rows("SELECT conname FROM pg_constraint WHERE conrelid = 'advisory_raw'::regclass ORDER BY 1"),
        database.rows("SELECT indexname FROM pg_indexes WHERE tablename = 'advisory_raw' ORDER BY 1"),
        database.value("SELECT version_num FROM aoc_alembic_version"),
    )


ROLLBACKS = {
    "constraints": ("--values", CHART / "values-rollback.yaml", "--set", "rollback.target=concelier"),
    "downgrade": ("--values", VALUES / "downgrade.yaml"),
}


@pytest.mark.parametrize("command", ROLLBACKS)
def test_a_restarted_pod_respects_a_rollback(
    command: str, helm: Helm, service_chart: Path, concelier_without_links: Database, owner_secret: dict[str, Path]
) -> None:
    """Three replicas go up at once, the rollback goes down, a pod that restarts leaves it so; then up again."""
    init = named(helm.template("--set", f"aoc-migrate.{RETROFIT}", chart=service_chart), "Deployment", "concelier")
    rollback = named(helm.template(*ROLLBACKS[command]), "Job", "concelier")
    release = named(helm.template("--set", f"{RETROFIT},upgrade.releaseHold=true"), "Job", "concelier")

    with ThreadPoolExecutor(3) as replicas:
        up = list(replicas.map(lambda _: start(init, owner_secret), range(3)))
    assert [ran.exit_code for ran in up] == [0, 0, 0]
    assert [ran.report["changed"] for ran in up].count(True) == 1
    head = state(concelier_without_links)

    back = start(rollback, owner_secret)
    down = state(concelier_without_links)
    assert back.exit_code == 0, back.err
    assert "guard-still-on" not in back.slugs()
    assert down != head

    again = start(init, owner_secret)
    assert (again.exit_code, again.report["changed"]) == (0, False)
    assert start(rollback, owner_secret).exit_code == 0
    assert state(concelier_without_links) == down

    assert start(release, owner_secret).exit_code == 0
    assert state(concelier_without_links) == head


def test_a_service_waits_until_head(
    helm: Helm, service_chart: Path, concelier_without_links: Database, owner_secret: dict[str, Path]
) -> None:
    """The wait container ends with exit code 3 before the upgrade, and with 0 after it."""
    words = ("--set", f"aoc-migrate.{RETROFIT},aoc-migrate.wait.timeout=1s")
    manifests = helm.template(*words, chart=service_chart)
    wait = named(manifests, "Deployment", "console")

    before = start(wait, owner_secret)
    assert start(named(manifests, "Deployment", "concelier"), owner_secret).exit_code == 0

    assert before.exit_code == 3
    assert start(wait, owner_secret).exit_code == 0


def test_the_cron_job_verifies_as_the_verifier(
    helm: Helm,
    service_chart: Path,
    concelier_without_links: Database,
    owner_secret: dict[str, Path],
    tmp_path: Path,
    aoc: Aoc,
) -> None:
    """The CronJob's container verifies as the read-only role; a rule that is gone is its termination message."""
    words = ("--values", VALUES / "verify.yaml", "--set", "targets.excititor.enabled=false")
    role = "verifier-of-the-chart"
    verify = named(helm.template(*words, "--set", f"flags.AOC_VERIFIER_USER={role}"), "CronJob")
    upgrade = named(helm.template("--set", RETROFIT), "Job", "concelier")
    assert start(upgrade, owner_secret).exit_code == 0
    aoc.configure(concelier_without_links)
    password = tmp_path / "password"
    password.write_text("only to read", encoding="utf-8")

    made = aoc("verifier", "create", "concelier", "--password-file", str(password), AOC_VERIFIER_USER=role)
    try:
        assert made.exit_code == 0, made.out + made.err
        (mounted,) = owner_secret
        verifier = tmp_path / "verifier"
        verifier.write_text(concelier_without_links.url_as(role, "only to read"), encoding="utf-8")
        message = tmp_path / "termination-log"
        message.touch()
        ran = start(verify, {mounted: verifier}, AOC_TERMINATION_LOG=str(message))
        assert message.read_text(encoding="utf-8") == ""
        concelier_without_links.run("ALTER TABLE advisory_raw DROP CONSTRAINT advisory_raw_keys_v1")
        broken = start(verify, {mounted: verifier}, AOC_TERMINATION_LOG=str(message))
    finally:
        assert aoc("verifier", "drop", "concelier", AOC_VERIFIER_USER=role).exit_code == 0

    assert (ran.exit_code, ran.slugs("error")) == (0, [])
    assert broken.exit_code == 1
    assert message.read_text(encoding="utf-8").splitlines()[0].startswith("FINDINGS verify concelier: 1 error")
    assert "-> Run: aoc-migrate upgrade concelier" in message.read_text(encoding="utf-8")
