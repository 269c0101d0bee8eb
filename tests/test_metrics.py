"""Metrics: valid for Prometheus, true, written in one move, and silent when told so."""

import http.server
import json
import re
import shutil
import socket
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aoc_migrate.report.metrics import HELP, PREFIX, metrics
from aoc_migrate.report.model import Report, make
from tests.conftest import ROOT, Aoc, Database
from tests.helpers import wait_until

OBSERVABILITY = ROOT / "deploy" / "observability"
PROMTOOL, PROMETHEUS = shutil.which("promtool"), shutil.which("prometheus")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")


def samples(text: str) -> dict[str, float]:
    """Return each sample, its name with its labels, and its value."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def promtool(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run promtool."""
    return subprocess.run([str(PROMTOOL), *words], input=given, capture_output=True, text=True, check=False)


@needs_promtool
def test_valid(database: Database, aoc: Aoc, allowed: dict[str, str], tmp_path: Path) -> None:
    """What every command writes passes promtool's check, together in one exposition without a sample twice."""
    database.add("bad", tenant=None)
    texts = []
    for n, words in enumerate([["audit"], ["upgrade"], ["status"], ["verify"]]):
        if words == ["upgrade"]:
            database.run(f"DELETE FROM {database.table} WHERE id = 'bad'")
        assert aoc(*words, database.target, "--metrics", str(tmp_path / f"{n}"), **allowed).exit_code in (0, 1)
        texts.append((tmp_path / f"{n}").read_text(encoding="utf-8"))
        checked = promtool("check", "metrics", given=texts[-1])
        assert (checked.returncode, checked.stderr) == (0, "")

    names = [name for text in texts for name in samples(text)]
    assert len(names) == len(set(names))


def test_true(database: Database, aoc: Aoc, allowed: dict[str, str], tmp_path: Path) -> None:
    """Violations have their code, rows and chains their numbers, the revision its labels."""
    file, target = tmp_path / "metrics", database.target
    for n in range(2):
        database.add(f"twice{n}", upstream_id="twice", content_hash="twice")
    assert aoc("audit", target, "--metrics", str(file), **allowed).exit_code == 1
    run = f'target="{target}",command="audit"'
    found = samples(file.read_text(encoding="utf-8"))
    duplicate = f'finding="duplicate-key",code="ERR_AOC_003",subject="{database.table}"'
    assert found[f"{PREFIX}violations{{{run},{duplicate}}}"] == 1
    assert found[f"{PREFIX}exit_code{{{run}}}"] == 1
    assert f"{PREFIX}last_success_timestamp_seconds{{{run}}}" not in found
    database.run(f"DELETE FROM {database.table} WHERE id ~ 'twice'")

    assert aoc("upgrade", target, "--metrics", str(file), **allowed).exit_code == 0

    found, run = samples(file.read_text(encoding="utf-8")), f'target="{target}",command="upgrade"'
    assert found[f"{PREFIX}rows{{{run}}}"] == 3
    assert found[f'{PREFIX}chain_documents{{{run},revisions="3 to 4"}}'] == 1
    assert found[f"{PREFIX}at_head{{{run}}}"] == 1
    assert found[f"{PREFIX}duration_seconds{{{run}}}"] > 0


def test_the_last_success_is_kept(excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """A failing run keeps the time of the last good one, and the file is whole and readable by anybody."""
    aoc.configure(excititor)
    file, name = (
        tmp_path / "m.prom",
        f'{PREFIX}last_success_timestamp_seconds{{target="excititor",command="audit"}}',
    )
    assert aoc("audit", "--metrics", str(file)).exit_code == 0
    good = samples(file.read_text(encoding="utf-8"))[name]
    excititor.add("bad", tenant=None)

    assert aoc("audit", "--metrics", str(file)).exit_code == 1

    assert samples(file.read_text(encoding="utf-8"))[name] == good
    assert file.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["m.prom"]


def test_silence(excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """AOC_METRICS_ENABLED=false writes nothing and sends nothing."""
    aoc.configure(excititor)

    nowhere = ("--metrics", str(tmp_path / "m"), "--push-gateway", "http://127.0.0.1:1")
    ran = aoc("audit", *nowhere, AOC_METRICS_ENABLED="false")

    assert (ran.exit_code, "metrics" in ran.err) == (0, False)
    assert not (tmp_path / "m").exists() or (tmp_path / "m").read_text(encoding="utf-8") == ""


def test_what_fails_is_told(excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """A file that cannot be written is refused beforehand; a gateway that does not answer changes no exit code."""
    aoc.configure(excititor)

    refused = aoc("audit", "--metrics", str(tmp_path / "none" / "m"))
    unheard = aoc("audit", "--push-gateway", "http://127.0.0.1:1")
    nonsense = aoc("audit", "--push-gateway", "file:///etc/passwd")

    assert refused.exit_code == 2
    assert (unheard.exit_code, nonsense.exit_code) == (0, 0)
    assert "the metrics were not published" in unheard.err
    assert "the metrics were not published" in nonsense.err


def test_hostile_labels() -> None:
    """Quotes, backslashes and line breaks in a label stay inside of it."""
    report = Report("concelier", findings=[make("null-key", 'a"b\\c\nd', count=1)])

    text = metrics("audit", [report], 0.0)

    assert 'subject="a\\"b\\\\c\\nd"} 1' in text
    assert all(line.startswith(("#", PREFIX)) for line in text.splitlines())


class Listener(http.server.BaseHTTPRequestHandler):
    """Keeps what is sent to it, and serves a file."""

    got: list[tuple[str, bytes]] = []  # noqa: RUF012
    file = Path("/dev/null")

    def do_PUT(self) -> None:
        """Keep it."""
        self.got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        """Serve the file."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(self.file.read_bytes())

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def listener() -> Iterator[str]:
    """The URL of a server that listens."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Listener.got.clear()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_push(excititor: Database, aoc: Aoc, listener: str) -> None:
    """A push gateway gets the same metrics, grouped by command."""
    aoc.configure(excititor)

    assert aoc("audit", "--push-gateway", listener).exit_code == 0

    ((path, body),) = Listener.got
    assert path == "/metrics/job/aoc-migrate/command/audit"
    assert f'{PREFIX}exit_code{{target="excititor",command="audit"}} 0' in body.decode()


def test_names_are_documented() -> None:
    """docs/metrics.md lists every metric and no other, and dashboard and alerts use no name that there is not."""
    listed = re.findall(r"(?m)^\| `aoc_migrate_(\w+)`", (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8"))
    used = {
        name
        for path in OBSERVABILITY.iterdir()
        for name in re.findall(r"aoc_migrate_(\w+)", path.read_text(encoding="utf-8"))
    }

    assert sorted(listed) == sorted(HELP)
    assert used <= set(HELP)


@needs_promtool
def test_alert_rules() -> None:
    """promtool finds nothing wrong with the alert rules."""
    ran = promtool("check", "rules", str(OBSERVABILITY / "alerts.yaml"))

    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.skipif(PROMETHEUS is None, reason="Prometheus is not installed")
def test_a_real_prometheus(database: Database, aoc: Aoc, tmp_path: Path, listener: str) -> None:
    """Prometheus scrapes a real file, answers every query of the dashboard, and fires the alert that is due."""
    assert aoc("verify", database.target, "--metrics", str(tmp_path / "m")).exit_code == 1
    Listener.file = tmp_path / "m"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(OBSERVABILITY / "alerts.yaml")],
        "scrape_configs": [
            {"job_name": "file", "static_configs": [{"targets": [listener.removeprefix("http://")]}]}
        ],
    }
    (tmp_path / "prometheus.yaml").write_text(json.dumps(config), encoding="utf-8")
    server = subprocess.Popen(
        [
            str(PROMETHEUS),
            f"--config.file={tmp_path / 'prometheus.yaml'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def ask(path: str) -> Any:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}", timeout=5) as answer:
                return json.load(answer)["data"]
        except OSError:
            return {}

    def query(expression: str) -> Any:
        return ask("query?" + urllib.parse.urlencode({"query": expression})).get("result")

    try:
        wait_until(lambda: bool(query("aoc_migrate_exit_code")), 30)
        wait_until(lambda: "AocContractBroken" in [a["labels"]["alertname"] for a in ask("alerts")["alerts"]], 30)
        states = {a["labels"]["alertname"]: a["state"] for a in ask("alerts")["alerts"]}
        assert [name for name, state in states.items() if state == "firing"] == ["AocContractBroken"]
        dashboard = json.loads((OBSERVABILITY / "dashboard.json").read_text(encoding="utf-8"))
        for panel in dashboard["panels"]:
            (target,) = panel["targets"]
            assert query(target["expr"].replace("$target", ".*")) is not None, panel["title"]
    finally:
        server.terminate()
        server.wait(timeout=30)
