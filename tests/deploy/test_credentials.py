"""How the chart's pods connect: by a URL in a Secret, or by host, user, database and a password in a Secret."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from aoc_migrate.database.targets import read_targets
from tests.conftest import Database
from tests.deploy.conftest import Helm, Manifest, containers, pods
from tests.deploy.processes import named, start, variables

PASSWORD = "/run/secrets/aoc-migrate/concelier/password"
ODD = [
    "a b+c%20",
    "p@ss/w:rd?#&=",
    "ünï ☃",
    "$(AOC_TICKET)$$",
    'it\'s "q" \\',
    "postgresql://u:p@h/d",
    "[::1]",
    "-",
    " ",
]
RETROFIT = {"flags": {"AOC_ALLOW_SUPERSEDES_RETROFIT": True}}


@pytest.fixture
def render(helm: Helm, tmp_path: Path) -> Any:
    """Renders the chart with the values of a test, for concelier by its parts."""

    def run(connection: dict[str, Any], *words: str, **more: Any) -> list[Manifest]:
        values = {"targets": {"concelier": {"connection": connection}, "excititor": {"enabled": False}}}
        file = tmp_path / "values.yaml"
        file.write_text(yaml.safe_dump(values | more), encoding="utf-8")
        return helm.template("--values", file, *words)

    return run


@pytest.mark.parametrize("name", ODD)
def test_names_may_have_any_characters(name: str, render: Any) -> None:
    """User and database reach libpq as the values have them, whatever their characters are."""
    manifests = render({"host": "db.stella.svc", "user": name, "database": name})

    found = variables(named(manifests, "Job"))
    (target,) = read_targets(found).values()

    assert conninfo_to_dict(target.conninfo) == {
        "host": "db.stella.svc",
        "port": "5432",
        "user": name,
        "dbname": name,
    }


@pytest.mark.parametrize(
    "host",
    ["db", "10.0.0.12", "fd00::12", "::1", "/var/run/postgresql", "/cloudsql/project:region:a b", "db-1_x.svc."],
)
def test_a_host_is_a_name_an_address_or_a_folder(host: str, render: Any) -> None:
    """A name, an address of either kind and the folder of a socket reach libpq as they are."""
    manifests = render({"host": host, "user": "stella", "port": 5433}, "--set", "networkPolicy.ports={5433}")

    (target,) = read_targets(variables(named(manifests, "Job"))).values()

    assert conninfo_to_dict(target.conninfo) == {
        "host": host,
        "port": "5433",
        "user": "stella",
        "dbname": "concelier",
    }


@pytest.mark.parametrize("as_", ["file", "env"])
def test_a_password_is_mounted_or_a_variable(as_: str, render: Any) -> None:
    """The key of the Secret is mounted as a file, or sets a variable; never both, and no Secret has a URL."""
    secret = {"name": "db-owner", "key": "pass.word", "as": as_}
    manifests = render({"host": "db", "user": "stella", "passwordSecret": secret})
    (job,) = [m for m in manifests if m["kind"] == "Job"]
    (container,), (pod,) = containers([job]), pods([job])
    given = {v["name"]: v for v in container["env"] if "PASSWORD" in v["name"] or "URL" in v["name"]}

    assert given.pop("CONCELIER_DATABASE_URL")["value"] == "postgresql://stella@db:5432/concelier"
    if as_ == "env":
        assert given["CONCELIER_DATABASE_PASSWORD"]["valueFrom"]["secretKeyRef"] == {
            "name": "db-owner",
            "key": "pass.word",
        }
        assert "volumes" not in pod
    else:
        assert given["CONCELIER_DATABASE_PASSWORD_FILE"]["value"] == PASSWORD
        (mount,), (volume,) = container["volumeMounts"], pod["volumes"]
        assert mount["mountPath"] == str(Path(PASSWORD).parent)
        assert volume["secret"]["secretName"] == "db-owner"
        assert volume["secret"]["items"] == [{"key": "pass.word", "path": "password"}]
    assert len(given) == 1


def test_each_role_connects_by_url_or_by_parts(helm: Helm) -> None:
    """Owner by URL and verifier by parts, and the other way round: each container has its own role's."""
    parts = "targets.concelier.connection"
    only = "targets.excititor.enabled=false,verify.enabled=true"
    reader = f"{only},{parts}.host=db,{parts}.verifier.user=reader,{parts}.verifier.passwordSecret.name=db-reader"
    owner = f"{only},{parts}.host=db,{parts}.user=stella,targets.concelier.verifierUrlSecret.name=reader"

    def how(setting: str) -> dict[str, str | None]:
        manifests = helm.template("--set", setting)
        found = {kind: variables(named(manifests, kind)) for kind in ("Job", "CronJob", "Pod")}
        return {kind: given.get("CONCELIER_DATABASE_URL") for kind, given in found.items()}

    by_parts = "postgresql://reader@db:5432/concelier"
    assert how(reader) == {"Job": None, "CronJob": by_parts, "Pod": by_parts}
    assert how(owner) == {"Job": "postgresql://stella@db:5432/concelier", "CronJob": None, "Pod": None}


def test_a_service_waits_by_parts(helm: Helm, service_chart: Path) -> None:
    """A service's own containers connect by parts too; the one that waits has the verifier's alone."""
    parts = "aoc-migrate.targets.concelier.connection"
    setting = (
        f"aoc-migrate.targets.concelier.verifierUrlSecret.name=,{parts}.host=db,{parts}.user=stella,"
        f"{parts}.passwordSecret.name=db-owner,{parts}.verifier.user=reader,{parts}.verifier.passwordSecret.name=db-reader"
    )
    manifests = helm.template("--set", setting, chart=service_chart)
    deployments = [m for m in manifests if m["kind"] == "Deployment"]

    assert {
        deployment["metadata"]["name"]: [volume["secret"]["secretName"] for volume in pod["volumes"]]
        for deployment in deployments
        for pod in pods([deployment])
    } == {"concelier": ["db-owner"], "console": ["db-reader"]}


@pytest.mark.parametrize("user", ["stella+owner@corp/1", "$$stella%20"])
def test_a_job_migrates_with_a_password_of_its_own(
    user: str, render: Any, concelier_without_links: Database, tmp_path: Path
) -> None:
    """The rendered Job brings a database to head as a role with an odd name and a mounted password."""
    info, role = (
        concelier_without_links.connection.info,
        f"{user}_{concelier_without_links.connection.info.backend_pid}",
    )
    concelier_without_links.run(
        sql.SQL("CREATE ROLE {} LOGIN SUPERUSER PASSWORD {}").format(sql.Identifier(role), "p@ss/w %rd'")
    )
    (tmp_path / "password").write_text("p@ss/w %rd'\n", encoding="utf-8")
    (tmp_path / "wrong").write_text("another\n", encoding="utf-8")
    place = {"host": info.host, "port": info.port, "database": info.dbname, "user": role}
    manifests = render(place | {"passwordSecret": {"name": "db-owner"}}, **RETROFIT)
    job = named(manifests, "Job")
    try:
        wrong = start(job, {PASSWORD: tmp_path / "wrong"})
        ran = start(job, {PASSWORD: tmp_path / "password"})
        tested = start(named(manifests, "Pod"), {PASSWORD: tmp_path / "password"})
    finally:
        concelier_without_links.run(
            sql.SQL("REASSIGN OWNED BY {0} TO CURRENT_USER; DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(
                sql.Identifier(role)
            )
        )

    assert (wrong.exit_code, wrong.slugs()) == (3, ["unreachable"])
    assert (ran.exit_code, ran.report["changed"], ran.report["role"]) == (0, True, role), ran.err
    assert (tested.exit_code, tested.report["revision"]) == (0, ran.report["head"])
