"""With the rights of a managed service's administrator, who is no superuser, every command works."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.conftest import ROOT, Aoc, Database, Ran
from tests.helpers import before_backfill, wait_until
from tests.services import PASSWORD, SERVICES, Service, administrator, become_aurora

PAGE = (ROOT / "docs" / "managed.md").read_text(encoding="utf-8")
RETROFIT = {"AOC_ALLOW_SUPERSEDES_RETROFIT": "true"}
Command = Callable[..., Ran]


@pytest.fixture(params=SERVICES, ids=lambda service: service.name)
def service(request: pytest.FixtureRequest) -> Service:
    """Each service in turn."""
    found: Service = request.param
    return found


@pytest.fixture
def login(service: Service, concelier: Database, aoc: Aoc) -> Iterator[str]:
    """The administrator, who owns the tables, with a duplicate, a blank key and a chain without links."""
    for n in range(3):
        concelier.add(f"chain-{n}", retrieved_at=f"2025-01-0{n + 1}T00:00:00Z")
    for n in range(2):
        concelier.add(f"twice-{n}", upstream_id="CVE-2", content_hash="sha256:2")
    concelier.add("blank", upstream_id="CVE-3", tenant=" ")
    if service.name == "Amazon Aurora":
        become_aurora(concelier, 20.0)
    with administrator(service, concelier) as name:
        aoc.environment["CONCELIER_DATABASE_URL"] = concelier.url_as(name)
        aoc.environment["CONCELIER_DATABASE_PASSWORD"] = PASSWORD
        aoc.environment["AOC_VERIFIER_USER"] = f"verifier_{concelier.connection.info.backend_pid}"
        yield name


@pytest.fixture
def succeeds(aoc: Aoc) -> Command:
    """Run a command, which must end with exit code 0."""

    def run(words: str, **more: str) -> Ran:
        ran = aoc.json(*words.split(), **more)
        assert ran.exit_code == 0, f"{words}\n{ran.out}{ran.err}"
        return ran

    return run


@pytest.mark.alike
def test_the_whole_life(
    service: Service, login: str, concelier: Database, aoc: Aoc, succeeds: Command, tmp_path: Path
) -> None:
    """Find, repair, upgrade, verify, watch, and go all the way back: nothing needs more than the service gives."""
    before = sorted(concelier.rows("SELECT id, tenant FROM advisory_raw"))
    (tmp_path / "password").write_text("of the verifier", encoding="utf-8")

    audited = aoc.json("audit")
    assert {"duplicate-key", "blank-key"} <= set(audited.slugs("error"))
    assert not {"privileges", "limited-visibility"} & set(audited.slugs())
    for words in ("dedupe --apply", "repair --rule all --apply", "plan"):
        succeeds(words)
    upgraded = succeeds("upgrade", **RETROFIT)
    assert ("hidden-replicas" in upgraded.slugs()) == (service.name == "Amazon Aurora")
    for words in (
        "verify",
        "status",
        f"verifier create --password-file {tmp_path / 'password'}",
        "verifier check",
        "verifier drop",
        "chain",
        "history",
    ):
        succeeds(words)
    assert concelier.value("SELECT count(supersedes) FROM advisory_raw") == 2

    for words in ("downgrade base", "dedupe --restore --apply", "repair --restore --apply"):
        succeeds(words, AOC_GUARD_ENABLED="false")
    assert sorted(concelier.rows("SELECT id, tenant FROM advisory_raw")) == before


@pytest.mark.alike
def test_a_rehearsal(login: str, concelier: Database, aoc: Aoc, succeeds: Command) -> None:
    """A copy can be rehearsed on; where the server does not say how much WAL it wrote, the report has none."""
    concelier.run("DELETE FROM advisory_raw WHERE id IN ('twice-1', 'blank')")
    copy = {"AOC_COPY_URL": concelier.url_as(login), "AOC_COPY_PASSWORD": PASSWORD, "CONCELIER_DATABASE_URL": ""}

    ran = succeeds(f"rehearse concelier --copy-is {concelier.connection.info.dbname}", **copy, **RETROFIT)

    says = concelier.value("SELECT has_function_privilege(%s, 'pg_current_wal_insert_lsn()', 'EXECUTE')", [login])
    assert ran.report["facts"]["way_back"] == "exact"
    assert {phase["wal_bytes"] is not None for phase in ran.report["facts"]["phases"]} == {says}
    assert ran.err.count("cannot see how much WAL is written") == (not says)


@pytest.mark.parametrize("service", SERVICES[:1], indirect=True, ids=lambda service: service.name)
def test_a_report_lacks_what_a_service_withholds(login: str, succeeds: Command) -> None:
    """Without pg_control_system(), a report has no system identifier; nothing else happens."""
    assert succeeds("status").report["server"]["system_identifier"] is None


def test_the_page_has_the_same_roles() -> None:
    """docs/managed.md lists the role, the attributes and the memberships that are tested here."""
    table = PAGE.partition("## Roles")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if "`" in line]

    listed = [row for row in rows if len(row) == 4]

    assert listed == [
        [s.name, f"`{s.role}`", s.attributes, " ".join(f"`{name}`" for name in s.memberships)] for s in SERVICES
    ]


def test_the_page_has_a_row_for_each_service() -> None:
    """The first table of docs/managed.md has each service, in the same order."""
    table = PAGE.partition("## Your service")[2].partition("\n## ")[0]
    names = [line.strip("|").split("|")[0].strip() for line in table.splitlines() if line.startswith("| ")]

    assert names == ["service", "---", *(service.name for service in SERVICES)]


@pytest.mark.parametrize("service", SERVICES[:1], indirect=True, ids=lambda service: service.name)
def test_what_is_missing_is_printed(login: str, concelier: Database, aoc: Aoc, succeeds: Command) -> None:
    """Where another role owns the tables, the administrator types what the findings print, and that is enough."""
    concelier.run("DELETE FROM advisory_raw WHERE id IN ('twice-1', 'blank')")
    owner = f"stella_{concelier.connection.info.backend_pid}"
    with psycopg.connect(concelier.url_as(login, PASSWORD), autocommit=True) as administrator:
        administrator.execute(
            f"CREATE ROLE {owner}".encode()
        )  # since 16, it may grant this role, but not act as it
        concelier.run(f"ALTER TABLE advisory_raw OWNER TO {owner}; ALTER TABLE advisory OWNER TO {owner}")

        printed = list[str]()
        while (ran := aoc.json("upgrade", **RETROFIT)).exit_code and len(printed) < 3:
            helps = [f["help"] for f in ran.report["findings"] if f["severity"] == "error"]
            grants = {grant for text in helps for grant in re.findall(r"GRANT [^;]+;", text)}
            administrator.execute("".join(sorted(grants)).encode())
            printed += sorted(grants)

    assert printed == [f"GRANT {owner} TO {login};", f'GRANT CREATE ON SCHEMA "public" TO {owner};']
    assert ran.exit_code == 0, ran.out
    succeeds("downgrade base", AOC_GUARD_ENABLED="false")
    concelier.run(f"REASSIGN OWNED BY {owner} TO CURRENT_USER; DROP OWNED BY {owner} CASCADE; DROP ROLE {owner}")


def test_a_run_outlives_its_token(excititor: Database, aoc: Aoc) -> None:
    """An upgrade whose password is not valid any more ends well: only new sessions need it."""
    before_backfill(excititor, aoc, RETROFIT)
    role = f"token_{excititor.connection.info.backend_pid}"
    excititor.run(f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'first'")
    aoc.environment |= {"EXCITITOR_DATABASE_URL": excititor.url_as(role), "EXCITITOR_DATABASE_PASSWORD": "first"}
    process = aoc.start("upgrade", "--batch-rows", "20", "--pace", "5%")
    wait_until(lambda: excititor.value("SELECT count(supersedes) > 0 FROM vex_raw"))
    excititor.run(f"ALTER ROLE {role} PASSWORD 'second'")

    out, err = process.communicate(timeout=60)
    again = aoc.json("upgrade")
    excititor.run(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")

    assert process.returncode == 0, out + err
    assert (again.exit_code, again.slugs()) == (3, ["unreachable"])
