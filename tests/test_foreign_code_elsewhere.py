"""Stock Alembic, psql scripts and the verifier's check run no foreign code until it is accepted."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aoc_migrate.database.batch_guard import strangers
from aoc_migrate.database.relation import Schema
from tests.conftest import ROOT, Aoc, Database, Ran
from tests.forks import Process
from tests.helpers import PINNED, dump, psql
from tests.planting import BODY, CHECK, EVENTS, PLANTED, STATEMENT, TEXT, code, plant, planter, ran, state

FOREIGN = "foreign-code:planted.code()"


@pytest.fixture
def untrusted_role(excititor: Database, aoc: Aoc) -> Iterator[str]:
    """A role that is not trusted; the raw table has a chain of three rows."""
    for n in range(3):
        excititor.add(f"{n}", retrieved_at=f"2025-01-0{n + 1}T00:00:00Z")
    aoc.configure(excititor)
    aoc.environment["AOC_ALLOW_SUPERSEDES_RETROFIT"] = "true"
    with planter(excititor) as name:
        yield name
        excititor.run("DROP EVENT TRIGGER IF EXISTS e")


def to(revision: str, aoc: Aoc) -> None:
    """Go up to a revision."""
    assert revision == "base" or aoc("upgrade", revision).exit_code == 0


def alembic(aoc: Aoc, *words: str) -> Ran:
    """Run stock Alembic in the checkout."""
    process = Process("alembic", ("-n", "excititor", *words), aoc.env(), ROOT)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err, err
    return Ran(process.wait(), out, err)


STOCK = {
    "upgrade": ("excititor_0005", ("upgrade", "head"), PLANTED),
    "upgrade and an event trigger": ("base", ("upgrade", "head"), EVENTS),
    "downgrade": ("excititor_0006", ("downgrade", "-1"), PLANTED),
    "downgrade and an event trigger": ("excititor_0006", ("downgrade", "-1"), EVENTS),
}


@pytest.mark.alike
@pytest.mark.parametrize("case", STOCK)
def test_stock_alembic_refuses_foreign_code(case: str, untrusted_role: str, excititor: Database, aoc: Aoc) -> None:
    """Stock Alembic refuses it too, until -x accept=… is given."""
    start, words, planted = STOCK[case]
    to(start, aoc)
    plant(excititor, untrusted_role, planted)
    rows, revision = dump(excititor), aoc.json("status").report["revision"]

    refused = alembic(aoc, *words)

    assert refused.exit_code != 0
    assert f"-x accept='{FOREIGN}'" in refused.out + refused.err
    assert untrusted_role in refused.out + refused.err
    assert (ran(excititor), dump(excititor)) == (False, rows)
    assert aoc.json("status").report["revision"] == revision
    assert "cannot be accepted" in alembic(aoc, "-x", "accept=duplicate-key:x", *words).out
    accepted = alembic(aoc, "-x", "accept=update-trigger:t", "-x", f"accept={FOREIGN}", *words)
    assert (accepted.exit_code, ran(excititor)) == (0, True), accepted.err


def test_the_verifier_check_runs_no_foreign_code(
    untrusted_role: str, excititor: Database, aoc: Aoc, tmp_path: Path
) -> None:
    """No query is tried as the verifier where it would run foreign code, which could become our role again."""
    (tmp_path / "secret").write_text("s")
    to("head", aoc)
    aoc.environment["AOC_VERIFIER_USER"] = verifier = f"verifier_{excititor.connection.info.backend_pid}"
    assert aoc("verifier", "create", "--password-file", str(tmp_path / "secret")).exit_code == 0
    excititor.run(f"GRANT UPDATE ON vex_raw TO {verifier}")
    plant(excititor, untrusted_role, STATEMENT)

    refused = aoc.json("verifier", "check")

    assert (refused.exit_code, code(refused), ran(excititor)) == (1, ["planted.code()"], False)
    assert "verifier-could-write" not in refused.slugs()
    accepted = aoc.json("verifier", "check", "--accept", FOREIGN)
    assert accepted.slugs("error") == ["verifier-can-write", "verifier-could-write"]
    assert ran(excititor)
    assert aoc("verifier", "drop").exit_code == 0


def test_the_partition_key_of_the_table_above_is_found(untrusted_role: str, excititor: Database, aoc: Aoc) -> None:
    """Where the raw table is a partition itself, each row is checked against the key of the table above."""
    to("head", aoc)
    key = f"CREATE FUNCTION planted.code(t text) RETURNS int {BODY.format('1')}; "
    above = "CREATE TABLE above (LIKE vex_raw) PARTITION BY LIST (planted.code(id)); "
    plant(excititor, untrusted_role, f"{key} {above} ALTER TABLE above ATTACH PARTITION vex_raw FOR VALUES IN (1)")

    refused = aoc.json("verify", "--probe")

    assert (refused.exit_code, code(refused), ran(excititor)) == (1, ["planted.code(text)"], False)
    assert "(the partition key)" in refused.finding("foreign-code")["problem"]
    aoc("verify", "--probe", "--accept", "foreign-code:planted.code(text)")
    assert ran(excititor)


def test_a_policy_that_applies_to_us_is_found(untrusted_role: str, excititor: Database, aoc: Aoc) -> None:
    """A policy that holds for the owner of the table, who migrates here, is found before links are set back."""
    owner = f"owner_{excititor.connection.info.backend_pid}"
    excititor.run(f"CREATE ROLE {owner} LOGIN PASSWORD 'o'; GRANT ALL ON SCHEMA public TO {owner}")
    excititor.run(f"ALTER TABLE vex_raw OWNER TO {owner}")
    aoc.environment["EXCITITOR_DATABASE_URL"] = excititor.url_as(owner, "o")
    to("head", aoc)
    policy = f"{CHECK} CREATE POLICY p ON vex_raw USING (planted.code(id)); "
    plant(
        excititor,
        untrusted_role,
        policy + "ALTER TABLE vex_raw ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    )

    refused = aoc.json("downgrade", "excititor_0005")
    excititor.run(f"REASSIGN OWNED BY {owner} TO CURRENT_USER; DROP OWNED BY {owner}; DROP ROLE {owner}")

    assert (refused.exit_code, code(refused), ran(excititor)) == (1, ["planted.code(text)"], False)
    assert "(policy p)" in refused.finding("foreign-code")["problem"]


SCRIPTS = {
    "up": ("base", "base:head", PLANTED),
    "up, events": ("base", "base:excititor_0004", EVENTS),
    "down": ("head", "head:base", PLANTED),
    "down, events": ("head", "head:excititor_0006", EVENTS),
}


@pytest.mark.parametrize("case", SCRIPTS)
def test_a_script_refuses_foreign_code(case: str, untrusted_role: str, excititor: Database, aoc: Aoc) -> None:
    """A psql script refuses it before it changes anything, and prints the variable that accepts it."""
    start, words, planted = SCRIPTS[case]
    to(start, aoc)
    plant(excititor, untrusted_role, planted)
    given = ("-v", "retrofit=1")
    script, there = aoc("plan", "excititor", words, "--sql").out, state(excititor)

    refused = psql(excititor, script, *given, "-v", "accept=update-trigger:t")

    assert refused.exit_code == 3
    assert f"would run planted.code(), which belongs to role {untrusted_role}" in refused.err
    assert f"-v 'accept={FOREIGN}'" in refused.err
    assert (ran(excititor), state(excititor) == there) == (False, True)
    accepted = psql(excititor, script, *given, "-v", f"accept=update-trigger:t,{FOREIGN}")
    assert (accepted.exit_code, ran(excititor)) == (0, True), accepted.err


VIEWED = (
    f"{TEXT} CREATE VIEW planted.seen AS SELECT planted.code('x') AS x WHERE planted.code('y') = 'y'; "
    "CREATE TABLE planted.kept (x text); CREATE INDEX ON planted.kept (x) WHERE planted.code('z') = 'z'"
)


def test_the_verifier_check_plans_no_foreign_view(untrusted_role: str, excititor: Database, aoc: Aoc) -> None:
    """The catalog says whether the verifier may read a foreign view or table: planning a query on it runs code."""
    verifier = f"verifier_{excititor.connection.info.backend_pid}"
    aoc.environment["AOC_VERIFIER_USER"] = verifier
    to("head", aoc)
    assert aoc("verifier", "create").exit_code == 0
    plant(excititor, untrusted_role, VIEWED)
    excititor.run(
        f"ALTER VIEW planted.seen OWNER TO {untrusted_role}; ALTER TABLE planted.kept OWNER TO {untrusted_role}"
    )
    excititor.run("SELECT setval('ran', 1, false)")
    try:
        checked = aoc.json("verifier", "check")
        assert not ran(excititor)
        assert checked.exit_code == 0, checked.out
        excititor.run("SELECT x FROM planted.seen LIMIT 0")
        assert ran(excititor)
    finally:
        excititor.run(f"DROP OWNED BY {verifier} CASCADE; DROP ROLE {verifier}")


def test_showing_rows_evaluates_no_foreign_check(untrusted_role: str, excititor: Database, aoc: Aoc) -> None:
    """What `repair` and `dedupe` only show evaluates the table's CHECKs, so foreign code stops that too."""
    excititor.run("UPDATE vex_raw SET upstream_id = '' WHERE id = '0'")
    plant(
        excititor,
        untrusted_role,
        f"{CHECK} ALTER TABLE vex_raw ADD CONSTRAINT c CHECK (planted.code(id)) NOT VALID",
    )

    shown = [aoc.json(verb) for verb in ("repair", "dedupe")]

    assert [(each.exit_code, code(each)) for each in shown] == [(1, ["planted.code(text)"])] * 2
    assert not ran(excititor)


def test_a_trigger_on_a_generated_column_is_found(excititor: Database, untrusted_role: str, aoc: Aoc) -> None:
    """PostgreSQL fires it when the column that the value is made of changes: it is in the backfill's way."""
    excititor.run("ALTER TABLE vex_raw ADD supersedes text")
    excititor.run("ALTER TABLE vex_raw ADD linked boolean GENERATED ALWAYS AS (supersedes IS NOT NULL) STORED")
    plant(excititor, untrusted_role, STATEMENT.replace("UPDATE ON", "UPDATE OF linked ON"))

    upgraded = aoc.json("upgrade", AOC_ALLOW_SUPERSEDES_RETROFIT="true")
    script = psql(excititor, aoc("plan", "excititor", "base:head", "--sql").out, "-v", "retrofit=1")

    assert (upgraded.exit_code, sorted(upgraded.slugs("error"))) == (1, ["foreign-code", "update-trigger"])
    assert (script.exit_code, "foreign-code" in script.err, ran(excititor)) == (3, True, False)


def test_only_strangers_triggers_on_the_raw_table_end_a_batch(excititor: Database, untrusted_role: str) -> None:
    """Of the triggers that come while a step runs, those of trusted roles do not matter, nor those elsewhere."""
    excititor.run(f"CREATE TABLE elsewhere (id text); CREATE TABLE child (id text REFERENCES {excititor.table})")
    for name, owner in (("noted", "CURRENT_USER"), ("strange", untrusted_role)):
        excititor.run(f"CREATE FUNCTION {name}() {PINNED} 'BEGIN RETURN NEW; END'")
        for table in (excititor.table, "elsewhere"):
            excititor.run(f"CREATE TRIGGER {name} BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()")
        excititor.run(f"ALTER FUNCTION {name}() OWNER TO {owner}")

    found = excititor.rows(strangers(Schema("public")[excititor.table]))

    assert [(name, function) for _, name, function, *_ in found] == [("strange", "strange()")]
