"""What stops `upgrade --plan`: whatever is not as it was when the plan was made, by object."""

import hashlib
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aoc_migrate.run.approved_plan import seal
from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint
from tests.test_approved_plan import make_plan


def differing(ran: Any) -> list[tuple[str, str, str]]:
    """Return kind, object and state of what differs from the plan."""
    return [(row["kind"], row["object"], row["now"]) for row in ran.finding("plan-differs")["sample"]]


CHANGES = {
    "index": ("CREATE INDEX extra ON {t} (tenant)", ("index", "public.extra", "present")),
    "dropped constraint": (
        "ALTER TABLE {t} DROP CONSTRAINT theirs",
        ("constraint", "public.{t}.theirs", "absent"),
    ),
    "trigger": (
        "CREATE TRIGGER t BEFORE DELETE ON {t} FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        ("trigger", "public.{t}.t", "present"),
    ),
    "view": ("CREATE VIEW seen AS SELECT id FROM {t}", ("dependent", "view public.seen", "present")),
    "foreign key": (
        "CREATE TABLE refers (id text REFERENCES {t})",
        ("dependent", "constraint refers_id_fkey on table public.refers", "present"),
    ),
    "type": ("ALTER TABLE {t} ALTER note TYPE varchar(9)", ("column", "public.{t}.note", "changed")),
    "column": ("ALTER TABLE {t} ADD more int", ("column", "public.{t}.more", "present")),
    "policy": ("CREATE POLICY p ON {t}", ("policy", "public.{t}.p", "present")),
    "our index": (
        "CREATE UNIQUE INDEX {t}_idempotency_v1 ON {t} (tenant, source_vendor, upstream_id, content_hash)",
        ("index", "public.{t}_idempotency_v1", "present"),
    ),
}
"""What others may do between approval and upgrade, and the difference that is reported."""


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_since_is_refused_by_object(
    change: str, excititor: Database, aoc: Aoc, tmp_path: Path
) -> None:
    """After any such change an upgrade changes nothing, and names the object and the command for a new plan."""
    statement, expected = (text.format(t="vex_raw") if isinstance(text, str) else text for text in CHANGES[change])
    excititor.run("ALTER TABLE vex_raw ADD note text, ADD CONSTRAINT theirs CHECK (id <> 'x')")
    aoc.configure(excititor)
    file = make_plan(aoc, tmp_path)
    excititor.run(statement)
    before = fingerprint(excititor.connection, without="^$")

    ran = aoc.json("upgrade", "excititor", "--plan", str(file))

    assert (ran.exit_code, ran.slugs("error")) == (1, ["plan-differs"])
    assert tuple(text.format(t="vex_raw") for text in expected) in differing(ran)
    assert fingerprint(excititor.connection, without="^$") == before
    assert ran.report["next"]["command"] == "aoc-migrate plan excititor --output plan.json"


def test_rows_sizes_and_privileges_are_no_difference(excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """New rows and statistics, a GRANT, a COMMENT, and an owner for a table that exists, change nothing."""
    aoc.configure(excititor)
    file = make_plan(aoc, tmp_path)
    excititor.add("1")
    excititor.run("ANALYZE vex_raw; GRANT SELECT ON vex_raw TO pg_monitor; COMMENT ON TABLE vex_raw IS 'raw'")

    assert aoc("upgrade", "--plan", str(file), EXCITITOR_TABLE_OWNER="pg_monitor").exit_code == 0


def test_an_auditor_and_the_owner_make_the_same_plan(concelier: Database, aoc: Aoc, tmp_path: Path) -> None:
    """A role that may only read the raw table makes a plan that the owner can run."""
    concelier.run("DROP ROLE IF EXISTS plan_auditor; CREATE ROLE plan_auditor LOGIN PASSWORD 'p'")
    concelier.run("GRANT SELECT ON advisory_raw TO plan_auditor; ALTER ROLE plan_auditor SET search_path = public")
    aoc.environment["CONCELIER_DATABASE_URL"] = concelier.url_as("plan_auditor", "p")
    file = make_plan(aoc, tmp_path)
    aoc.configure(concelier)
    (tmp_path / "owner").mkdir()
    other = make_plan(aoc, tmp_path / "owner")

    bound = [json.loads(each.read_text(encoding="utf-8"))["reports"][0]["facts"] for each in (file, other)]

    assert bound[0]["catalog"] == bound[1]["catalog"]
    assert aoc.json("upgrade", "--plan", str(file)).report["revision"] == "concelier_0008"


def edited(file: Path, change: Any) -> Path:
    """Change the only report of a plan, and seal it again."""
    plan = json.loads(file.read_text(encoding="utf-8"))
    report = plan["reports"][0]
    change(report)
    report["facts"]["plan_digest"] = seal(plan["versions"]["aoc_migrate"], report)
    file.write_text(json.dumps(plan), encoding="utf-8")
    return file


ELSEWHERE = {
    "server": (lambda r: r["server"].update(system_identifier="7"), ("server", "system identifier", "7")),
    "database": (lambda r: r.update(database="staging"), ("database", "excititor", "staging")),
    "schema": (lambda r: r.update(schema="vex"), ("schema", "excititor", "vex")),
    "revision": (
        lambda r: r["facts"]["revisions"].update(excititor_0003="another"),
        ("revision", "excititor_0003", "present"),
    ),
    "revision left out": (
        lambda r: r["facts"]["revisions"].pop("excititor_0003"),
        ("revision", "excititor_0003", "absent"),
    ),
}
"""Plans that were made elsewhere, and what differs: kind, object and what was planned."""


@pytest.mark.parametrize("what", ELSEWHERE)
def test_the_plan_of_another_place_is_refused(what: str, excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """A plan for another server, database or schema, or for other revisions, differs, whatever the tables are."""
    change, expected = ELSEWHERE[what]
    aoc.configure(excititor)
    file = edited(make_plan(aoc, tmp_path), change)

    ran = aoc.json("upgrade", "--plan", str(file))

    (row,) = ran.finding("plan-differs")["sample"]
    assert (row["kind"], row["object"], row["planned"]) == expected
    assert (ran.exit_code, ran.report["revision"]) == (1, None)


def test_another_upgrade_in_between_is_refused(excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """What a run without the plan has done was not approved, though the same revisions did it."""
    aoc.configure(excititor)
    file = make_plan(aoc, tmp_path)
    assert aoc("upgrade", "excititor_0003").exit_code == 0

    ran = aoc.json("upgrade", "--plan", str(file))

    assert differing(ran) == [("revision", "excititor", "excititor_0003")]


def test_a_table_that_the_plan_creates_is_no_difference(
    empty_database: Database, aoc: Aoc, tmp_path: Path
) -> None:
    """On a fresh database a plan goes on after its first revisions, but not for another owner of the table."""
    aoc.configure(empty_database)
    file = make_plan(aoc, tmp_path)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert aoc("upgrade", "concelier_0003").exit_code == 0
    empty_database.run("UPDATE aoc_migration_log SET plan = %s", [digest])  # as if that run had been of this plan

    other = aoc.json("upgrade", "--plan", str(file), CONCELIER_TABLE_OWNER="pg_monitor")
    empty_database.run("CREATE VIEW seen AS SELECT id FROM advisory_raw")
    seen = aoc.json("upgrade", "--plan", str(file))
    empty_database.run("DROP VIEW seen")

    assert differing(other) == [("owner", "advisory_raw", "pg_monitor")]
    assert differing(seen) == [("dependent", "view public.seen", "present")]
    assert aoc.json("upgrade", "--plan", str(file)).report["revision"] == "concelier_0008"


def test_what_the_plan_drops_may_be_gone(excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """An INVALID index that the plan drops may be gone when the plan goes on; another index may not."""
    columns = 'tenant, source_vendor, upstream_id, retrieved_at, id COLLATE "C"'
    excititor.run(f"CREATE INDEX vex_raw_chain_v1 ON vex_raw ({columns}); CREATE INDEX theirs ON vex_raw (tenant)")
    excititor.run("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'vex_raw_chain_v1'::regclass")
    aoc.configure(excititor)
    file = make_plan(aoc, tmp_path)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert aoc("upgrade", "excititor_0004").exit_code == 0
    excititor.run("UPDATE aoc_migration_log SET plan = %s", [digest])  # as if that run had been of this plan
    excititor.run("DROP INDEX vex_raw_chain_v1, theirs")

    other = aoc.json("upgrade", "--plan", str(file))
    excititor.run("CREATE INDEX theirs ON vex_raw (tenant)")

    assert differing(other) == [("index", "public.theirs", "absent")]
    assert aoc.json("upgrade", "--plan", str(file)).report["revision"] == "excititor_0007"


def test_a_plan_of_another_database_is_refused_at_head_too(excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """Where there is nothing to do, the plan of another database is refused, and a plan of this one not named."""
    aoc.configure(excititor)
    file = make_plan(aoc, tmp_path)
    assert aoc("upgrade").exit_code == 0

    own = aoc.json("upgrade", "--plan", str(file))
    other = aoc.json("upgrade", "--plan", str(edited(file, ELSEWHERE["database"][0])))

    assert (own.exit_code, own.report["plan"]) == (0, None)
    assert (other.exit_code, differing(other)) == (
        1,
        [("database", "excititor", excititor.connection.info.dbname)],
    )


def test_a_plan_for_a_file_waits_for_its_table(excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """A plan that is to be approved waits for a locked table until its deadline, and names who locks it."""
    aoc.configure(excititor)
    with psycopg.connect(excititor.url) as other:
        other.execute("LOCK TABLE vex_raw IN ACCESS EXCLUSIVE MODE")
        ran = aoc("plan", "--output", str(tmp_path / "plan.json"), "--deadline", "1s")
        locker = f"pid {other.info.backend_pid}"

    report = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))["reports"][0]
    assert (ran.exit_code, [found["slug"] for found in report["findings"]]) == (3, ["deadline"])
    assert locker in report["findings"][0]["problem"]
