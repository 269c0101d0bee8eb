"""Texts of a wrong form in the chart's values: each refusal has the text's name, and says what to write."""

from pathlib import Path

import pytest
import yaml

from tests.deploy.conftest import Helm

SCHEDULE = (
    "is not a schedule: write the five fields of cron, such as 17 * * * *, and a time zone into verify.timeZone."
)
DURATION = "is not a duration: write a number and a unit, such as 100ms, 2s, 5m or 1h."
NAME = "is not a name in Kubernetes: write lower-case letters, digits, - and ., such as concelier-database."
HOST = "is not one host: write a name or an address, such as db.stella.svc, or the folder of a socket."

TEXTS = [
    ("targets.concelier.deadline", "600", DURATION),
    ("targets.concelier.deadline", 600, DURATION),
    ("targets.concelier.lockWait", "30 min", DURATION),
    ("targets.excititor.maxStall", "-1s", DURATION),
    ("verify.since", "", DURATION),
    ("wait.timeout", 15, DURATION),
    ("test.timeout", "1 minute", DURATION),
    ("rollback.revision", -1, "is not a revision to go down to: write an id, such as concelier_0004, or base."),
    (
        "rollback.revision",
        "head",
        "is not a revision to go down to: write an id, such as concelier_0004, or base.",
    ),
    (
        "verify.schedule",
        "CRON_TZ=UTC 1 2 * * *",
        SCHEDULE,
    ),
    (
        "verify.schedule",
        "hourly",
        SCHEDULE,
    ),
    (
        "flags.AOC_TENANT_HEADER",
        "X Tenant",
        "is not the name of an HTTP header: write letters, digits and -, such as X-Stella-Tenant.",
    ),
    (
        "metrics.pushGateway",
        "pushgateway:9091",
        "is not a URL: write http:// or https://, a host and a port, such as http://pushgateway.monitoring:9091.",
    ),
    (
        "ticket",
        "CHG\n1",
        "is not the name of a change ticket: write one line of at most 100 characters, such as CHG-1234.",
    ),
    (
        "nameOverride",
        "a" * 21,
        "is not a name: write at most 20 lower-case letters, digits and -, such as aoc-migrate.",
    ),
    (
        "fullnameOverride",
        "Stella",
        "is not a beginning of names: write at most 30 lower-case letters, digits and -, such as stella-aoc.",
    ),
    ("image.pullSecrets", [{"name": "ok"}, {"name": "My_Registry"}], NAME),
    ("targets.concelier.urlSecret.name", "Concelier", NAME),
    ("evidence.persistentVolumeClaim", "/var/evidence", NAME),
    ("serviceAccount.name", "aoc:migrate", NAME),
    ("tls.caConfigMap.name", "ca.crt/", NAME),
    (
        "targets.excititor.connection.verifier.passwordSecret.key",
        "pass word",
        "is not a key of a Secret or ConfigMap: write letters, digits, -, _ and ., such as url.",
    ),
    (
        "image.registry",
        "https://registry.example",
        "is not a registry: write its host without https://, such as registry.example or registry.example:5000.",
    ),
    (
        "image.repository",
        "aoc-migrate:0.1.0",
        "is not the name of an image: write it without registry and tag, such as stellaops/aoc-migrate.",
    ),
    ("image.tag", "0.1.0+1", "is not a tag: write letters, digits, ., _ and -, such as 0.1.0."),
    (
        "image.digest",
        "sha256:1",
        "is not a digest: write sha256: and 64 hexadecimal digits, as the registry shows it.",
    ),
    *(
        ("targets.concelier.connection.host", host, HOST)
        for host in ("a,b", "db:5432", "user@db", "db?sslmode=disable", "postgresql://db", "[::1]", "db\n")
    ),
]


@pytest.mark.parametrize(("path", "value", "wanted"), TEXTS, ids=lambda part: repr(part)[:40])
def test_a_wrong_text_is_refused_with_what_to_write(
    path: str, value: object, wanted: str, helm: Helm, tmp_path: Path
) -> None:
    """A text of the wrong form is refused in one sentence, which has the value's name and the text."""
    *sections, name = path.split(".")
    values: dict[str, object] = {name: value}
    for section in reversed(sections):
        values = {section: values}
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")

    refused = helm.refusal("--values", file)

    shown = str(value) if "\n" not in str(value) and value != "" else f'"{value}"'.replace("\n", "\\n")
    sentence = f"{path}={shown} {wanted}" if isinstance(value, str | int) else f"[1].name=My_Registry {wanted}"
    assert sentence in refused
    assert "schema" not in refused


def test_a_services_chart_gets_the_same_sentence(helm: Helm, service_chart: Path) -> None:
    """A value that a service's own chart passes on is refused in the same words."""
    ran = helm.run(
        "template", "stella", service_chart, "--set-string", "aoc-migrate.targets.concelier.deadline=600"
    )

    assert ran.returncode != 0
    assert f"targets.concelier.deadline=600 {DURATION}" in ran.stderr
