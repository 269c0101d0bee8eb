"""The quarantine: private to its owner, reported everywhere, exported on demand, untouched by migrations."""

import json
import stat
from pathlib import Path

import pytest

from aoc_migrate.errors import Abort
from aoc_migrate.quarantine.export import new_file
from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint
from tests.helpers import counted

ROLE = "stella-aoc-verify"


@pytest.fixture
def filled_quarantine(target_with_chain: Database, aoc: Aoc) -> Database:
    """Each target with a repaired row, a moved one and a duplicate in quarantine."""
    target_with_chain.add("blank", source_vendor="", content={"raw": {"secret": "cänary"}})
    target_with_chain.add("nobody", tenant=None)
    for id_ in ("one", "two"):
        target_with_chain.add(id_, upstream_id="twice", content_hash="h", retrieved_at="2025-03-03T00:00:00Z")
    assert aoc("repair", target_with_chain.target, "--rule", "all", "--apply").exit_code == 0
    assert aoc("dedupe", target_with_chain.target, "--apply").exit_code == 0
    return target_with_chain


def kept(database: Database) -> list[str]:
    """Return every row of the quarantine, whole, and what the catalog says of it."""
    rows = database.rows(f"SELECT to_jsonb(q)::text FROM {database.table}_quarantine AS q ORDER BY 1")
    catalog = [line for line in fingerprint(database.connection) if f"{database.table}_quarantine" in line]
    return [*(row for (row,) in rows), *catalog]


def test_before_the_first_move_there_is_none(target_with_chain: Database, aoc: Aoc) -> None:
    """Without a quarantine, the status says that no row was moved and none repaired."""
    facts = aoc.json("status", target_with_chain.target).report["facts"]

    assert (facts["quarantine"], facts["repaired"]) == (0, 0)


def test_export_writes_whole_rows_to_a_private_file(filled_quarantine: Database, aoc: Aoc, tmp_path: Path) -> None:
    """--export writes whole rows to a new file for its owner alone, or to stdout and nothing else; it says so."""
    expected = [json.loads(row) for row in kept(filled_quarantine)[:3]]
    place = tmp_path / "rows.ndjson"

    ran = aoc.json("quarantine", filled_quarantine.target, "--export", str(place))

    assert (ran.exit_code, ran.report["facts"]["exported"], "cänary" in ran.out) == (0, 3, False)
    assert "whole rows" in ran.err
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    written = [json.loads(line) for line in place.read_text(encoding="utf-8").splitlines()]
    assert sorted(written, key=json.dumps) == sorted(expected, key=json.dumps)
    assert [row["id"] for row in written] == ["two", "blank", "nobody"]
    assert written[1]["content"]["raw"] == {"secret": "cänary"}
    streamed = aoc("quarantine", filled_quarantine.target, "--export", "-")
    assert (streamed.exit_code, streamed.out) == (0, place.read_text(encoding="utf-8"))
    assert len(aoc("quarantine", filled_quarantine.target, "--export", "-", "--run", "2").out.splitlines()) == 1
    unknown = aoc("quarantine", filled_quarantine.target, "--export", "-", "--run", "99")
    assert (unknown.exit_code, "no rows of run 99" in unknown.err) == (2, True)


def test_an_export_cannot_act_on_a_terminal(excititor: Database, aoc: Aoc) -> None:
    """What a terminal would obey is escaped in the JSON, which means the same."""
    hostile = "a\x9b31m\u202eb\u2028\u200bc"
    excititor.add(hostile, tenant="")
    aoc.configure(excititor)
    assert aoc("repair", "--rule", "all", "--apply").exit_code == 0

    (line,) = aoc("quarantine", "--export", "-").out.splitlines()

    assert line.isprintable()
    assert json.loads(line)["id"] == hostile


def test_export_sorts_no_documents(excititor: Database, aoc: Aoc) -> None:
    """However large the documents are, an export needs no temporary files; its order is that of the ids."""
    aoc.configure(excititor)
    excititor.run(
        "INSERT INTO vex_raw (id, source_vendor, upstream_id, content_hash, retrieved_at, source, upstream, "
        "linkset, content) SELECT 'r' || n, 'osv', 'CVE-' || n, n::text, timestamptz '2025-01-01', '{}', '{}', "
        "'{}', jsonb_build_object('raw', (SELECT string_agg(md5((n * m)::text), '') "
        "FROM generate_series(1, 2000) AS m)) FROM generate_series(101, 220) AS n"
    )
    assert aoc("repair", "--rule", "null-key", "--apply").exit_code == 0
    query = "SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()"
    before = counted(excititor, query)

    lines = aoc("quarantine", "--export", "-").out.splitlines()

    assert [json.loads(line)["id"] for line in lines] == [f"r{n}" for n in range(101, 221)]
    assert counted(excititor, query) == before


def test_export_overwrites_nothing(filled_quarantine: Database, aoc: Aoc, tmp_path: Path) -> None:
    """An existing file, a missing folder, a symbolic link and a failing export leave no trace."""
    there = tmp_path / "there"
    there.write_text("mine", encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("there", "no/folder", "link"):
        assert aoc("quarantine", filled_quarantine.target, "--export", str(tmp_path / name)).exit_code == 2
    filled_quarantine.run(f"DROP TABLE {filled_quarantine.table}_quarantine")
    assert aoc("quarantine", filled_quarantine.target, "--export", str(tmp_path / "new")).exit_code == 2
    assert aoc("quarantine", filled_quarantine.target, "--run", "1").exit_code == 2

    assert there.read_text(encoding="utf-8") == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "there"]


def test_an_export_appears_only_when_whole(tmp_path: Path) -> None:
    """Until an export is whole there is only a hidden file for its owner; a name taken meanwhile is kept."""
    place = tmp_path / "rows"
    with new_file(str(place)) as file:
        file.write("row\n")
        file.flush()
        (partial,) = tmp_path.iterdir()
        assert (partial.name.startswith(".rows."), stat.S_IMODE(partial.stat().st_mode)) == (True, 0o600)
    assert place.read_text(encoding="utf-8") == "row\n"
    with pytest.raises(Abort, match="already exists"), new_file(str(tmp_path / "late")):
        (tmp_path / "late").write_text("mine", encoding="utf-8")

    assert (tmp_path / "late").read_text(encoding="utf-8") == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["late", "rows"]


def test_rows_and_a_report_cannot_share_stdout(excititor: Database, aoc: Aoc) -> None:
    """Rows on stdout and a report exclude each other."""
    aoc.configure(excititor)
    for words in (["--output", "report"], ["--format", "json"]):
        ran = aoc("quarantine", "--export", "-", *words)
        assert (ran.exit_code, "writes no report" in ran.err) == (2, True)


@pytest.mark.alike
def test_migrations_leave_the_quarantine_alone(
    filled_quarantine: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """Up, down to base and up again leave the quarantine as it is; status and verify count what is in it."""
    before = kept(filled_quarantine)
    for command in ("upgrade", "downgrade", "upgrade"):
        words = ["base"] if command == "downgrade" else ["--release-hold"]
        assert aoc(command, filled_quarantine.target, *words, **retrofit).exit_code == 0
        assert kept(filled_quarantine) == before

    for command in ("status", "verify"):
        facts = aoc.json(command, filled_quarantine.target).report["facts"]
        assert (facts["quarantine"], facts["repaired"]) == (2, 1)


@pytest.mark.alike
def test_others_with_rights_on_the_quarantine_are_named(
    filled_quarantine: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """verify names who else may read it; the verifier may not, and its check finds that."""
    table = f"{filled_quarantine.table}_quarantine"
    assert aoc("upgrade", filled_quarantine.target, **retrofit).exit_code == 0
    try:
        assert aoc.json("verifier", "create", filled_quarantine.target).slugs() == []
        filled_quarantine.run(f'GRANT SELECT (id) ON {table} TO "{ROLE}"')

        assert f'"{ROLE}"' in aoc.json("verify", filled_quarantine.target).finding("quarantine-exposed")["problem"]
        assert aoc.json("verifier", "check", filled_quarantine.target).slugs("error") == [
            "verifier-reads-quarantine"
        ]
    finally:
        filled_quarantine.run(f'DROP OWNED BY "{ROLE}"; DROP ROLE "{ROLE}"')


def test_the_verifier_needs_no_right_on_the_quarantine(
    filled_quarantine: Database, aoc: Aoc, retrofit: dict[str, str], tmp_path: Path
) -> None:
    """Without a right on the quarantine the verifier verifies cleanly, and does not say what is in it."""
    assert aoc("upgrade", filled_quarantine.target, **retrofit).exit_code == 0
    (tmp_path / "password").write_text("pass", encoding="utf-8")
    try:
        created = aoc(
            "verifier", "create", filled_quarantine.target, "--password-file", str(tmp_path / "password")
        )
        assert created.exit_code == 0
        own = Aoc({f"{filled_quarantine.target.upper()}_DATABASE_URL": filled_quarantine.url_as(ROLE, "pass")})
        ran = own.json("verify")
        assert (ran.exit_code, ran.slugs(), ran.report["facts"]["quarantine"]) == (0, [], None)
    finally:
        filled_quarantine.run(f'DROP OWNED BY "{ROLE}"; DROP ROLE "{ROLE}"')


def test_a_downgrade_reports_links_of_rows_in_quarantine(
    excititor: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """Links of the journal whose rows are in quarantine are reported as such, not as changed by others."""
    for n in range(3):
        excititor.add(f"{n}", retrieved_at=f"2025-01-0{n + 1}T00:00:00Z")
    aoc.configure(excititor)
    assert aoc("upgrade", **retrofit).exit_code == 0
    assert aoc("constraints", "excititor", "--remove").exit_code == 0
    excititor.run("UPDATE vex_raw SET identifiers = '5' WHERE id = '2'")
    assert aoc("repair", "--rule", "not-an-object", "--apply").exit_code == 0

    ran = aoc.json("downgrade", "excititor", "base")

    assert ran.exit_code == 0
    assert ran.finding("rows-in-quarantine")["rows"] == 1
    assert "rows-changed-since" not in ran.slugs()
    assert excititor.rows("SELECT id, supersedes FROM vex_raw ORDER BY id") == [("0", None), ("1", None)]


def test_a_quarantine_that_it_may_not_read_stops_no_downgrade(
    filled_quarantine: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """Where a superuser's dedupe owns the quarantine, the owner of the tables goes up and down all the same."""
    role = f"migrates_{filled_quarantine.connection.info.backend_pid}"
    filled_quarantine.run(
        f"CREATE ROLE {role} LOGIN PASSWORD 'm'; GRANT CREATE ON SCHEMA public TO {role}; "
        "DO $$ DECLARE name text; BEGIN FOR name IN SELECT oid::regclass FROM pg_class "
        "WHERE relkind IN ('r', 'v') AND relnamespace = 'public'::regnamespace AND relname !~ '_quarantine$' "
        f"LOOP EXECUTE 'ALTER TABLE ' || name || ' OWNER TO {role}'; END LOOP; END $$"
    )
    variable = f"{filled_quarantine.target.upper()}_DATABASE_URL"
    aoc.environment[variable] = filled_quarantine.url_as(role, "m")
    try:
        up = aoc.json("upgrade", filled_quarantine.target, **retrofit)
        down = aoc.json("downgrade", filled_quarantine.target, "base")
    finally:
        filled_quarantine.run(f"REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}")

    assert (up.exit_code, down.exit_code) == (0, 0), up.err + down.err
    assert down.report["revision"] is None
