"""Metrics: valid for Prometheus, true, written atomically, and silent on request."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from aoc_migrate.report import metrics
from aoc_migrate.report.metrics import HELP, PREFIX
from aoc_migrate.report.model import Report, finding
from tests.conftest import ROOT, Aoc, Database

OBSERVABILITY = ROOT / "deploy" / "helm" / "aoc-migrate" / "files"
TESTS = ROOT / "tests" / "alerts.yaml"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")


def samples(text: str) -> dict[str, float]:
    """Return each sample, its name with its labels, and its value."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def promtool(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run promtool."""
    return subprocess.run([str(PROMTOOL), *words], input=given, capture_output=True, text=True, check=False)


RUNS = {
    "audit": 1,
    "upgrade": 0,
    "status": 0,
    "verify": 0,
    "chain": 0,
    "constraints --remove": 0,
    "downgrade base": 0,
}


@needs_promtool
def test_what_commands_write_is_valid(
    target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str], tmp_path: Path
) -> None:
    """What commands write passes promtool's check, together in one exposition without a sample twice."""
    target_with_chain.add("bad", tenant=None)
    texts = []
    for n, (words, code) in enumerate(RUNS.items()):
        if words == "upgrade":
            target_with_chain.run(f"DELETE FROM {target_with_chain.table} WHERE id = 'bad'")
        ran = aoc(*words.split(), target_with_chain.target, "--metrics", str(tmp_path / f"{n}"), **retrofit)
        assert ran.exit_code == code, words
        texts.append((tmp_path / f"{n}").read_text(encoding="utf-8"))
        checked = promtool("check", "metrics", given=texts[-1])
        assert (checked.returncode, checked.stderr) == (0, "")

    names = [name for text in texts for name in samples(text)]
    assert len(names) == len(set(names))


def test_the_metrics_agree_with_the_report(
    target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str], tmp_path: Path
) -> None:
    """Violations have their code, rows and chains their numbers, the revision its labels."""
    file, target = tmp_path / "metrics", target_with_chain.target
    for n in range(2):
        target_with_chain.add(f"twice{n}", upstream_id="twice", content_hash="twice")
    assert aoc("audit", target, "--metrics", str(file), **retrofit).exit_code == 1
    run = f'command="audit",target="{target}"'
    found = samples(file.read_text(encoding="utf-8"))
    duplicate = f'finding="duplicate-key",subject="{target_with_chain.table}",target="{target}"'
    assert found[f'{PREFIX}violations{{code="ERR_AOC_003",command="audit",{duplicate}}}'] == 1
    assert found[f"{PREFIX}exit_code{{{run}}}"] == 1
    assert f"{PREFIX}last_success_timestamp_seconds{{{run}}}" not in found
    target_with_chain.run(f"DELETE FROM {target_with_chain.table} WHERE id ~ 'twice'")

    assert aoc("upgrade", target, "--metrics", str(file), **retrofit).exit_code == 0

    found, run = samples(file.read_text(encoding="utf-8")), f'command="upgrade",target="{target}"'
    assert found[f"{PREFIX}rows{{{run}}}"] == 3
    assert found[f"{PREFIX}at_head{{{run}}}"] == 1
    assert found[f"{PREFIX}duration_seconds{{{run}}}"] > 0

    assert aoc("verify", target, "--metrics", str(file)).exit_code == 0

    found = samples(file.read_text(encoding="utf-8"))
    assert found[f'{PREFIX}rows{{command="verify",target="{target}"}}'] == 3
    assert found[f'{PREFIX}chain_documents{{command="verify",revisions="3 to 4",target="{target}"}}'] == 1


def test_the_last_success_is_kept(excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """A failing run keeps the time of the last good one, and the file is whole and readable by anybody."""
    aoc.configure(excititor)
    file, name = (
        tmp_path / "m.prom",
        f'{PREFIX}last_success_timestamp_seconds{{command="audit",target="excititor"}}',
    )
    assert aoc("audit", "--metrics", str(file)).exit_code == 0
    good = samples(file.read_text(encoding="utf-8"))[name]
    excititor.add("bad", tenant=None)

    assert aoc("audit", "--metrics", str(file)).exit_code == 1

    assert samples(file.read_text(encoding="utf-8"))[name] == good
    assert file.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["m.prom"]


def test_a_target_without_a_turn_keeps_its_success(
    concelier: Database, excititor: Database, aoc: Aoc, tmp_path: Path
) -> None:
    """A run that ends at the first target keeps the time of the last success of the second."""
    aoc.configure(concelier, excititor)
    words, file = ("upgrade", "--metrics", str(tmp_path / "m.prom")), tmp_path / "m.prom"
    name = f'{PREFIX}last_success_timestamp_seconds{{command="upgrade",target="excititor"}}'
    assert aoc(*words, "concelier_0001").exit_code == 2
    assert aoc("upgrade", "--metrics", str(file)).exit_code == 0
    good = samples(file.read_text(encoding="utf-8"))[name]
    concelier.run("ALTER TABLE advisory_raw DROP CONSTRAINT advisory_raw_keys_v1")
    concelier.add("bad", tenant=" ")

    assert aoc(*words).exit_code == 1

    assert samples(file.read_text(encoding="utf-8"))[name] == good


def test_what_is_broken_is_counted_apart_from_what_may_be_tried_again(
    excititor: Database, aoc: Aoc, tmp_path: Path
) -> None:
    """Errors are counted by exit code: 3 for a raw table that is not there yet, 1 for one that was dropped."""
    aoc.configure(excititor)
    file = tmp_path / "m.prom"

    def errors(*words: str) -> dict[int, float]:
        ran, run = aoc(*words, "--metrics", str(file)), 'severity="error",target="excititor"'
        found = samples(file.read_text(encoding="utf-8"))
        names = {code: f'{PREFIX}findings{{command="{words[0]}",exit_code="{code}",{run}}}' for code in (1, 3)}
        assert ran.exit_code == max((code for code, name in names.items() if found.get(name)), default=0)
        return {code: found[name] for code, name in names.items() if name in found}

    assert aoc("upgrade").exit_code == 0
    assert errors("verify") == {1: 0}
    excititor.run("DROP TABLE vex_raw")
    assert errors("verify") == {1: 1}
    excititor.run("DROP TABLE aoc_alembic_version")
    assert errors("upgrade", "--no-create") == {1: 0, 3: 1}


def test_a_file_with_other_content_is_replaced(excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """A file that holds no metrics is replaced; nothing of it is kept."""
    aoc.configure(excititor)
    (tmp_path / "m.prom").write_text("}{ not metrics\n", encoding="utf-8")

    ran = aoc("audit", "--metrics", str(tmp_path / "m.prom"))

    assert (ran.exit_code, "metrics" in ran.err) == (0, False)
    found = samples((tmp_path / "m.prom").read_text(encoding="utf-8"))
    assert found
    assert all(name.startswith(PREFIX) for name in found)


def test_disabled_metrics_are_neither_written_nor_sent(excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """AOC_METRICS_ENABLED=false writes nothing and sends nothing."""
    aoc.configure(excititor)

    nowhere = ("--metrics", str(tmp_path / "m"), "--push-gateway", "http://127.0.0.1:1")
    ran = aoc("audit", *nowhere, AOC_METRICS_ENABLED="false")

    assert (ran.exit_code, "metrics" in ran.err) == (0, False)
    assert not (tmp_path / "m").exists() or (tmp_path / "m").read_text(encoding="utf-8") == ""


def test_a_failure_to_publish_is_reported(excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """A file that cannot be written is refused beforehand; a gateway that does not answer changes no exit code."""
    aoc.configure(excititor)

    refused = aoc("audit", "--metrics", str(tmp_path / "none" / "m"))
    unheard = aoc("audit", "--push-gateway", "http://127.0.0.1:1")

    assert (refused.exit_code, unheard.exit_code) == (2, 0)
    assert "could not publish metrics" in unheard.err


def test_hostile_labels_stay_inside_their_quotes() -> None:
    """Quotes and backslashes in a label stay inside of it; a line break is shown as two letters."""
    report = Report("concelier", findings=[finding("null-key", 'a"b\\c\nd', count=1, target="concelier")])

    text = generate_latest(metrics.registry(list(metrics.samples("audit", report, 0.0)))).decode()

    assert 'subject="a\\"b\\\\c\\\\nd",target="concelier"} 1.0\n' in text
    assert all(line.startswith(("#", PREFIX)) for line in text.splitlines())


def test_every_metric_is_documented() -> None:
    """docs/metrics.md lists every metric and no other, and dashboard and alerts use no other name."""
    listed = re.findall(r"(?m)^\| `aoc_migrate_(\w+)`", (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8"))
    used = {
        name
        for path in OBSERVABILITY.iterdir()
        for name in re.findall(r"aoc_migrate_(\w+)", path.read_text(encoding="utf-8"))
    }

    assert sorted(listed) == sorted(HELP)
    assert used <= set(HELP)


@needs_promtool
def test_each_alert_fires_only_when_due() -> None:
    """promtool finds nothing wrong with the alert rules, and each fires when it is due, and only then."""
    for words in (("check", "rules", str(OBSERVABILITY / "alerts.yaml")), ("test", "rules", str(TESTS))):
        ran = promtool(*words)
        assert ran.returncode == 0, ran.stdout + ran.stderr
