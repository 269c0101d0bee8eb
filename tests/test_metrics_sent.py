"""Metrics on their way: a push gateway that keeps them, and a Prometheus that scrapes, answers and alerts."""

import base64
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

from aoc_migrate.report.metrics import PREFIX
from tests.conftest import ROOT, Aoc, Database
from tests.helpers import wait_until
from tests.servers import guard

OBSERVABILITY = ROOT / "deploy" / "helm" / "aoc-migrate" / "files"
PROMETHEUS, PUSHGATEWAY = shutil.which("prometheus"), shutil.which("prometheus-pushgateway")


class Listener(http.server.BaseHTTPRequestHandler):
    """Keeps what is sent to it, and serves a file."""

    got: list[tuple[str, bytes]] = []  # noqa: RUF012
    authorization: str | None = None
    file = Path("/dev/null")

    def do_PUT(self) -> None:
        """Keep it."""
        Listener.authorization = self.headers["Authorization"]
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
def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def listener_url() -> Iterator[str]:
    """The URL of a server that listens."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Listener.got.clear()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_each_target_is_a_group_on_the_push_gateway(excititor: Database, aoc: Aoc, listener_url: str) -> None:
    """A push gateway gets a group a target, and the time of a success in one that a failing run leaves alone."""
    aoc.configure(excititor)
    assert aoc("audit", "--push-gateway", listener_url).exit_code == 0
    excititor.add("bad", tenant=None)

    assert aoc("audit", "--push-gateway", listener_url).exit_code == 1

    place, success = "/metrics/job/aoc-migrate/command/audit{}/target/excititor", "last_success_timestamp_seconds"
    assert [path for path, _ in Listener.got] == [place.format(part) for part in ("", "/outcome/success", "")]
    assert f'{PREFIX}exit_code{{command="audit",target="excititor"}} 1' in Listener.got[2][1].decode()
    assert [success in body.decode() for _, body in Listener.got] == [False, True, False]


def test_a_password_reaches_the_gateway_and_no_output(excititor: Database, aoc: Aoc, listener_url: str) -> None:
    """A user and password in the URL reach the gateway as basic authentication, and are never printed."""
    aoc.configure(excititor)
    ran = aoc("audit", "--push-gateway", listener_url.replace("http://", "http://me:ca%3Anary@"))

    assert (ran.exit_code, "nary" in ran.out + ran.err, "published" in ran.err) == (0, False, False)
    assert Listener.authorization == f"Basic {base64.b64encode(b'me:ca:nary').decode()}"


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "gw:9091", "http://", "http://gw:90x1", "http://me:canary@[gw", "http://a b", ""]
)
def test_an_unusable_url_is_refused_first(url: str, excititor: Database, aoc: Aoc) -> None:
    """A URL that no request can be sent to is refused before anything is changed, and is not repeated."""
    aoc.configure(excititor)
    ran = aoc("upgrade", "--push-gateway", url)

    assert (ran.exit_code, ran.out, "canary" in ran.err) == (2, "", False)
    assert "not an http or https URL" in ran.err
    assert excititor.value("SELECT to_regclass('aoc_alembic_version')") is None


def test_an_odd_gateway_changes_no_exit_code(excititor: Database, aoc: Aoc) -> None:
    """The report is written before a gateway is asked, and whatever that answers, the exit code is the run's."""
    aoc.configure(excititor)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        process = aoc.start("audit", "--push-gateway", url)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("PASSED audit excititor")
        with server.accept()[0] as connection:
            connection.recv(1)
            connection.sendall(b"what?\r\n\r\n")
            _, err = process.communicate(timeout=60)

    assert process.returncode == 0
    assert err.endswith("aoc-migrate: could not publish metrics: BadStatusLine\n")


@pytest.mark.skipif(PUSHGATEWAY is None, reason="prometheus-pushgateway is not installed")
def test_a_real_push_gateway_keeps_both_targets(
    concelier: Database, excititor: Database, aoc: Aoc, free_port: int, tmp_path: Path
) -> None:
    """A push gateway keeps both targets side by side, and the last success of one that now fails."""
    aoc.configure(concelier, excititor)
    address = f"127.0.0.1:{free_port}"
    guard(tmp_path)
    words = [f"--web.listen-address={address}", f"--persistence.file={tmp_path / 'held'}"]
    server = subprocess.Popen([str(PUSHGATEWAY), *words], stderr=subprocess.DEVNULL)

    def held() -> str:
        try:
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    try:
        wait_until(lambda: "push" in held())
        for target in ("concelier", "excititor"):
            assert aoc("audit", target, "--push-gateway", f"http://{address}").exit_code == 0
        excititor.add("bad", tenant=None)
        assert aoc("audit", "excititor", "--push-gateway", f"http://{address}").exit_code == 1
        kept = [line for line in held().splitlines() if line.startswith(PREFIX)]
    finally:
        server.terminate()
        server.wait(timeout=30)

    exits = {
        re.findall('target="(\\w+)"', line)[0]: line.rpartition(" ")[2] for line in kept if "exit_code" in line
    }
    assert exits == {"concelier": "0", "excititor": "1"}
    assert sum("last_success" in line for line in kept) == 2


@pytest.mark.skipif(PROMETHEUS is None, reason="Prometheus is not installed")
def test_a_real_prometheus_fires_the_due_alert(
    target_with_chain: Database, aoc: Aoc, tmp_path: Path, listener_url: str, free_port: int
) -> None:
    """Prometheus scrapes a real file, answers every query of the dashboard, and fires the alert that is due."""
    assert aoc("upgrade", target_with_chain.target, AOC_ALLOW_SUPERSEDES_RETROFIT="true").exit_code == 0
    target_with_chain.run(
        f"ALTER TABLE {target_with_chain.table} DROP CONSTRAINT {target_with_chain.table}_keys_v1"
    )
    assert aoc("verify", target_with_chain.target, "--metrics", str(tmp_path / "m")).exit_code == 1
    Listener.file = tmp_path / "m"
    port = free_port
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(OBSERVABILITY / "alerts.yaml")],
        "scrape_configs": [
            {"job_name": "file", "static_configs": [{"targets": [listener_url.removeprefix("http://")]}]}
        ],
    }
    (tmp_path / "prometheus.yaml").write_text(json.dumps(config), encoding="utf-8")
    guard(tmp_path)
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
