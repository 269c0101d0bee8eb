"""What the values add to the chart's pods, run for real: evidence, words, queries, other commands."""

import shlex
from pathlib import Path

import yaml

from tests.conftest import Aoc, Database
from tests.deploy.conftest import HERE, Helm
from tests.deploy.processes import EVIDENCE, named, start

VALUES = HERE / "values"
RETROFIT = "flags.AOC_ALLOW_SUPERSEDES_RETROFIT=true"


def test_evidence_is_kept_on_the_claim(
    helm: Helm, concelier_without_links: Database, owner_secret: dict[str, Path], tmp_path: Path
) -> None:
    """Each run of the Job leaves a folder or a page on the claim, and an overview of them."""
    claim = tmp_path / "claim"
    job = named(helm.template("--set", f"{RETROFIT},evidence.persistentVolumeClaim=aoc"), "Job", "concelier")

    first, second = (start(job, {**owner_secret, EVIDENCE: claim}) for _ in range(2))

    assert (first.exit_code, second.exit_code) == (0, 0), first.err + second.err
    folders = [path for path in claim.iterdir() if path.is_dir()]
    assert {path.name for path in folders[0].iterdir()} >= {"index.html", "SHA256SUMS", "concelier-upgrade.html"}
    assert (len(folders), len(list(claim.glob("concelier-*.html"))), (claim / "index.html").exists()) == (
        1,
        1,
        True,
    )


def test_what_a_finding_prints_goes_into_values(
    helm: Helm, concelier_without_links: Database, owner_secret: dict[str, Path], tmp_path: Path
) -> None:
    """The Job stops at a finding; its option as an item of extraArgs accepts it, whatever its object's name is."""
    concelier_without_links.run(
        'CREATE FUNCTION "no$(AOC_IMAGE)ted$$"() RETURNS trigger LANGUAGE plpgsql '
        "SET search_path = public, pg_temp AS $f$BEGIN RETURN NEW; END$f$; "
        'CREATE TRIGGER "audit $(AOC_IMAGE)\'s" BEFORE UPDATE ON advisory_raw '
        'FOR EACH ROW EXECUTE FUNCTION "no$(AOC_IMAGE)ted$$"()'
    )
    stopped = start(named(helm.template("--set", RETROFIT), "Job", "concelier"), owner_secret)
    (error,) = [finding for finding in stopped.report["findings"] if finding["severity"] == "error"]
    option, accepted = shlex.split(error["help"][error["help"].index("--accept") :])
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump({"upgrade": {"extraArgs": [f"{option}={accepted}"]}}), encoding="utf-8")

    job = named(helm.template("--set", RETROFIT, "--values", values), "Job", "concelier")
    went = start(job, owner_secret)

    assert (stopped.exit_code, stopped.report["changed"]) == (1, False)
    assert (went.exit_code, went.report["changed"]) == (0, True), went.err


def test_the_query_of_the_values_reaches_the_job(
    helm: Helm, concelier_without_links: Database, owner_secret: dict[str, Path], tmp_path: Path
) -> None:
    """targets.TARGET.throttleQuery arrives as it is written, dollar quotes included, and is in no argument."""
    values = tmp_path / "values.yaml"
    values.write_text(
        "targets: {concelier: {throttleQuery: 'SELECT $q$$(AOC_IMAGE)$q$ = $$x$$'}}", encoding="utf-8"
    )
    job = named(helm.template("--set", RETROFIT, "--values", values), "Job", "concelier")

    ran = start(job, owner_secret)

    assert ran.exit_code == 0, ran.err
    assert ran.report["parameters"]["throttle_query"] is True
    assert "throttle-query-failed" not in ran.slugs()
    assert "SELECT" not in str(job["args"])


def test_another_command_runs_instead_of_the_upgrade(
    helm: Helm, concelier: Database, owner_secret: dict[str, Path]
) -> None:
    """run.args runs a command once as the owner: duplicates move to quarantine, and no upgrade runs."""
    for name in ("first", "second"):
        concelier.add(name, content_hash="sha256:same", upstream_id="CVE-2025-0009")
    manifests = helm.template("--set", "run.args={dedupe,concelier,--apply}")

    ran = start(named(manifests, "Job"), owner_secret)

    assert (ran.exit_code, ran.report["changed"]) == (0, True), ran.err
    assert concelier.value("SELECT count(*) FROM advisory_raw WHERE upstream_id = 'CVE-2025-0009'") == 1


def test_helm_test_says_whether_the_database_is_at_head(
    helm: Helm, concelier_without_links: Database, owner_secret: dict[str, Path], tmp_path: Path
) -> None:
    """Before the upgrade the test's pod fails and says what is missing, after it and under a hold it succeeds."""
    manifests = helm.template("--set", f"{RETROFIT},test.timeout=10ms")
    pod, job = named(manifests, "Pod", "concelier"), named(manifests, "Job", "concelier")
    message = tmp_path / "termination-log"
    message.touch()

    before = start(pod, owner_secret, AOC_TERMINATION_LOG=str(message))
    assert start(job, owner_secret).exit_code == 0
    after = start(pod, owner_secret)
    rollback = named(helm.template("--values", VALUES / "downgrade.yaml"), "Job", "concelier")
    assert start(rollback, owner_secret).exit_code == 0
    held = start(pod, owner_secret)

    assert (before.exit_code, before.slugs()) == (3, ["not-ready"])
    assert "waiting for concelier_0001" in message.read_text(encoding="utf-8")
    assert (after.exit_code, after.slugs(), after.report["revision"]) == (0, [], after.report["head"])
    assert (held.exit_code, held.report["verdict"]) == (0, "HELD")


def test_verify_takes_more_words(helm: Helm, concelier_without_links: Database, aoc: Aoc) -> None:
    """verify.extraArgs are words of the CronJob's command."""
    aoc.configure(concelier_without_links)
    assert aoc("upgrade", AOC_ALLOW_SUPERSEDES_RETROFIT="true").exit_code == 0
    setting = (
        "targets.excititor.enabled=false,targets.concelier.verifierUrlSecret.name=reader,targets.concelier."
        "verifierUrlSecret.as=env,verify.enabled=true,verify.extraArgs={--tenant=nobody,--limit=3}"
    )
    verify = named(helm.template("--set", setting), "CronJob")

    ran = start(verify, {}, CONCELIER_DATABASE_URL=concelier_without_links.url)

    assert ran.exit_code == 0, ran.err
    assert (ran.report["parameters"]["limit"], ran.slugs()) == (3, ["tenant-without-rows"])
