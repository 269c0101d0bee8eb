"""The chart's monitoring: the alerts as a PrometheusRule, the dashboard as a labelled ConfigMap."""

import json

import yaml

from tests.deploy.conftest import CHART, Helm

ALERTS = "monitoring.prometheusRule.enabled=true,monitoring.prometheusRule.labels.release=prometheus"
DASHBOARD = "monitoring.dashboard.enabled=true"


def test_the_alerts_are_a_prometheus_rule(helm: Helm) -> None:
    """The PrometheusRule has the groups of files/alerts.yaml, untouched templates, and its labels."""
    (rule,) = [m for m in helm.template("--set", ALERTS) if m["kind"] == "PrometheusRule"]
    alerts = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text(encoding="utf-8"))

    assert rule["apiVersion"] == "monitoring.coreos.com/v1"
    assert rule["spec"] == alerts
    assert "{{ $labels.target }}" in str(rule["spec"])
    assert rule["metadata"]["labels"]["release"] == "prometheus"


def test_the_dashboard_is_a_config_map_for_the_sidecar(helm: Helm) -> None:
    """The ConfigMap has files/dashboard.json, untouched, and the label for Grafana's sidecar."""
    (found,) = [m for m in helm.template("--set", DASHBOARD) if m["metadata"]["name"].endswith("-dashboard")]
    dashboard = json.loads((CHART / "files" / "dashboard.json").read_text(encoding="utf-8"))

    assert found["kind"] == "ConfigMap"
    assert {name: json.loads(text) for name, text in found["data"].items()} == {"aoc-migrate.json": dashboard}
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_monitoring_is_asked_for(helm: Helm) -> None:
    """Without the two values, nothing of it is made: the cluster may have no Prometheus Operator."""
    manifests = helm.template()

    assert not [m for m in manifests if m["kind"] == "PrometheusRule" or "dashboard" in m["metadata"]["name"]]
