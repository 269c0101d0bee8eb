"""Foreign functions that our writes run, and that need a search_path which our session does not have."""

import re
import shlex

import pytest

from tests.conftest import Aoc, Database
from tests.partitions import partition
from tests.test_accept import options

NAMED = "CREATE FUNCTION named(t text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN t; END'; "
CHECKED = "CREATE FUNCTION checked(t text) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT true'; "
TOUCH = "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN coalesce(NEW, OLD); END'; "
LIKED = (
    "CREATE FUNCTION liked(a text, b text) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN true; END'; "
    "CREATE OPERATOR ~~~ (LEFTARG = text, RIGHTARG = text, FUNCTION = liked); "
)
KIND = (
    "CREATE TYPE kind AS (k text); CREATE FUNCTION kinds(t text) RETURNS kind IMMUTABLE LANGUAGE plpgsql AS "
    "'BEGIN RETURN ROW(t)::public.kind; END'; CREATE CAST (text AS kind) WITH FUNCTION kinds(text); "
)
ADD = "ALTER TABLE vex_raw ADD "
KINDS = {
    "trigger": (
        f"{TOUCH} CREATE TRIGGER touching BEFORE INSERT ON vex_raw FOR EACH ROW EXECUTE FUNCTION touch()",
        "public.touch()",
        "trigger touching",
    ),
    "statement trigger": (
        f"{TOUCH} CREATE TRIGGER touching AFTER INSERT ON vex_raw EXECUTE FUNCTION touch()",
        "public.touch()",
        "trigger touching",
    ),
    "trigger's condition": (
        f"{CHECKED} CREATE TRIGGER t BEFORE INSERT ON vex_raw FOR EACH ROW WHEN (checked(NEW.id)) "
        "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "public.checked(text)",
        "trigger t",
    ),
    "check": (f"{CHECKED} {ADD} CONSTRAINT c CHECK (checked(id))", "public.checked(text)", "CHECK c"),
    "check not valid": (
        f"{CHECKED} {ADD} CONSTRAINT c CHECK (checked(id)) NOT VALID",
        "public.checked(text)",
        "CHECK c",
    ),
    "operator": (f"{LIKED} {ADD} CONSTRAINT c CHECK (id ~~~ id)", "public.liked(text,text)", "CHECK c"),
    "operator of arrays": (
        f"{LIKED} {ADD} CONSTRAINT c CHECK (id OPERATOR(public.~~~) ANY (ARRAY[tenant]))",
        "public.liked(text,text)",
        "CHECK c",
    ),
    "cast": (f"{KIND} {ADD} CONSTRAINT c CHECK ((id::kind).k > '')", "public.kinds(text)", "CHECK c"),
    "default": (f"{NAMED} {ADD} z text DEFAULT named('z')", "public.named(text)", "the default of column z"),
    "generated column": (
        f"{NAMED} {ADD} g text GENERATED ALWAYS AS (named(id)) STORED",
        "public.named(text)",
        "the generated column g",
    ),
    "index": (f"{NAMED} CREATE INDEX i ON vex_raw (named(id))", "public.named(text)", "index i"),
    "part of an index": (
        f"{CHECKED} CREATE INDEX i ON vex_raw (id) WHERE checked(id)",
        "public.checked(text)",
        "index i",
    ),
    "domain": (
        f"{CHECKED} CREATE DOMAIN d AS text CONSTRAINT c CHECK (checked(VALUE)); {ADD} z d",
        "public.checked(text)",
        "the type of column z",
    ),
    "domain over a domain": (
        f"{CHECKED} CREATE DOMAIN d AS text CONSTRAINT c CHECK (checked(VALUE)); CREATE DOMAIN e AS d; {ADD} z e",
        "public.checked(text)",
        "the type of column z",
    ),
    "through an SQL-standard body": (
        f"{CHECKED} CREATE FUNCTION atomic(t text) RETURNS bool IMMUTABLE LANGUAGE sql RETURN checked(t); "
        f"{ADD} CONSTRAINT c CHECK (atomic(id))",
        "public.checked(text)",
        "CHECK c",
    ),
    "hostile names": (
        'CREATE SCHEMA "it\'s; %s"; CREATE FUNCTION "it\'s; %s"."f ""{0}"() RETURNS trigger LANGUAGE plpgsql AS '
        "'BEGIN RETURN NEW; END'; "
        'CREATE TRIGGER "t ""{x} %s" BEFORE INSERT ON vex_raw FOR EACH ROW '
        'EXECUTE FUNCTION "it\'s; %s"."f ""{0}"()',
        '"it\'s; %s"."f ""{0}"()',
        'trigger "t ""{x} %s"',
    ),
}


@pytest.mark.alike
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_function_stops_an_upgrade(kind: str, excititor: Database, aoc: Aoc) -> None:
    """Each kind of code on the table is found and stops an upgrade, until either of what it prints is typed."""
    made, function, runs = KINDS[kind]
    excititor.run(made)
    aoc.configure(excititor)

    audited, refused = aoc.json("audit"), aoc.json("upgrade")

    assert (audited.exit_code, audited.slugs("error")) == (1, ["needs-search-path"])
    assert (refused.exit_code, refused.slugs("error")) == (1, ["needs-search-path"])
    assert excititor.value("SELECT to_regclass('aoc_migration_state')") is None
    found = audited.finding("needs-search-path")
    assert found["subject"] == function
    assert f"({runs})" in found["problem"]
    printed = options(found["help"])
    assert printed == ["--accept", f"needs-search-path:{function}"]
    assert aoc("audit", *printed).exit_code == 0
    (statement,) = re.findall(r"ALTER FUNCTION .*? SET search_path = .*?pg_temp;", found["help"])
    excititor.run(statement)
    assert aoc("audit").exit_code == 0


def test_an_accepted_function_lets_the_upgrade_through(excititor: Database, aoc: Aoc) -> None:
    """An upgrade whose findings are accepted goes through, its probe included, and so does the way back."""
    excititor.run(KINDS["trigger"][0])
    excititor.run(KINDS["check"][0])
    excititor.add("1")
    aoc.configure(excititor)
    accepting = ("--accept", "needs-search-path:public.touch()")

    assert aoc.json("upgrade", *accepting).slugs("error") == ["needs-search-path"]
    ran = aoc.json("upgrade", *accepting, "--accept", "needs-search-path:public.checked(text)")

    assert (ran.exit_code, ran.report["facts"]["probed"]) == (0, True)
    assert aoc("downgrade", "base").exit_code == 0


BEGUN = "CREATE TRIGGER t BEFORE INSERT ON vex_raw FOR EACH ROW EXECUTE FUNCTION touch()"
HARMLESS = {
    "its own search_path": f"{TOUCH} ALTER FUNCTION touch() SET search_path = public, pg_temp; {BEGUN}",
    "its own empty search_path": f"{TOUCH} ALTER FUNCTION touch() SET search_path = ''; {BEGUN}",
    "internal": "CREATE TRIGGER t BEFORE INSERT ON vex_raw FOR EACH ROW EXECUTE FUNCTION "
    "suppress_redundant_updates_trigger()",
    "internal by another name": "CREATE FUNCTION lowered(text) RETURNS text IMMUTABLE LANGUAGE internal "
    f"AS 'lower'; {ADD} CONSTRAINT c CHECK (lowered(id) <> '')",
    "SQL-standard body": "CREATE FUNCTION atomic(t text) RETURNS bool IMMUTABLE LANGUAGE sql "
    f"BEGIN ATOMIC SELECT t <> ''; END; {ADD} CONSTRAINT c CHECK (atomic(id))",
    "below its own search_path": f"{CHECKED} CREATE FUNCTION atomic(t text) RETURNS bool IMMUTABLE LANGUAGE sql "
    f"SET search_path = public RETURN checked(t); {ADD} CONSTRAINT c CHECK (atomic(id))",
    "another event": f"{TOUCH} CREATE TRIGGER t BEFORE DELETE ON vex_raw FOR EACH ROW EXECUTE FUNCTION touch()",
    "disabled": f"{TOUCH} {BEGUN}; ALTER TABLE vex_raw DISABLE TRIGGER t",
    "of replicas": f"{TOUCH} {BEGUN}; ALTER TABLE vex_raw ENABLE REPLICA TRIGGER t",
    "another table": f"{CHECKED} CREATE TABLE other (id text CHECK (checked(id)))",
    "built in": f"{ADD} z timestamptz DEFAULT now(), ADD CONSTRAINT c CHECK (id LIKE '%' AND length(id) > 0)",
}


@pytest.mark.alike
@pytest.mark.parametrize("case", HARMLESS)
def test_a_harmless_function_is_ignored(case: str, excititor: Database, aoc: Aoc) -> None:
    """What does not depend on our search_path, or is not run by us, is not found, and the upgrade goes through."""
    excititor.run(HARMLESS[case])
    aoc.configure(excititor)

    assert (aoc.json("audit").slugs("error"), aoc("upgrade").exit_code) == ([], 0)


@pytest.mark.parametrize(
    ("when", "found"),
    [
        ("AFTER UPDATE", True),
        ("BEFORE UPDATE OF tenant, supersedes", True),
        ("BEFORE UPDATE OF tenant", False),
        ("AFTER DELETE", False),
    ],
)
def test_a_function_is_found_only_where_rows_will_be_written(
    when: str, found: bool, excititor: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """A function that the backfill's UPDATE would run is found where rows will be written, and only there."""
    excititor.run(f"ALTER TABLE vex_raw ADD supersedes text; {TOUCH}")
    excititor.run(f"CREATE TRIGGER t {when} ON vex_raw FOR EACH ROW EXECUTE FUNCTION touch()")
    excititor.add("1")
    aoc.configure(excititor)
    nothing_to_write = aoc.json("audit", **retrofit).slugs("error")
    excititor.add("2", retrieved_at="2025-01-02T00:00:00Z")

    ran = aoc.json("audit", "--accept", "update-trigger:t", **retrofit)

    assert nothing_to_write == []
    assert ran.slugs("error") == (["needs-search-path"] if found else [])
    assert aoc.json("upgrade", "excititor_0005", **retrofit).slugs("error") == []


def test_each_function_is_one_finding(excititor: Database, aoc: Aoc) -> None:
    """A function that several things run is one finding, which names them all."""
    excititor.run(
        f"{CHECKED} {ADD} CONSTRAINT c CHECK (checked(id)), ADD CONSTRAINT b CHECK (checked(tenant)); "
        "CREATE INDEX i ON vex_raw (id) WHERE checked(id)"
    )
    aoc.configure(excititor)

    assert "(CHECK b, CHECK c, index i)" in aoc.json("audit").finding("needs-search-path")["problem"]


def test_a_function_on_any_partition_is_found(excititor: Database, aoc: Aoc) -> None:
    """Code on the partitioned table is one finding, and code on a partition of any level is found as well."""
    partition(excititor.connection, "vex_raw")
    excititor.run(
        f"{CHECKED} {ADD} CONSTRAINT c CHECK (checked(id)); CREATE INDEX i ON vex_raw (id) WHERE checked(id)"
    )
    excititor.run(f"{TOUCH} CREATE TRIGGER t AFTER INSERT ON vex_raw FOR EACH ROW EXECUTE FUNCTION touch()")
    excititor.run(f"{NAMED} CREATE INDEX below ON cold.vex_raw_b (named(id))")
    aoc.configure(excititor)

    ran = aoc.json("audit")
    found = {f["subject"]: f["problem"] for f in ran.report["findings"] if f["slug"] == "needs-search-path"}

    assert list(found) == ["public.checked(text)", "public.named(text)", "public.touch()"]
    assert "(CHECK c, index i)" in found["public.checked(text)"]
    assert "(trigger t)" in found["public.touch()"]
    assert "(index below)" in found["public.named(text)"]
    accepting = [word for name in found for word in ("--accept", f"needs-search-path:{name}")]
    assert aoc("upgrade", *accepting).exit_code == 0


def test_an_accepted_function_breaks_as_the_finding_says(excititor: Database, aoc: Aoc) -> None:
    """What the finding says is true: accepted, such a function does not find its table, and the probe says so."""
    excititor.run(
        "CREATE TABLE log (id text); CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN INSERT INTO log VALUES (NEW.id); RETURN NEW; END'; "
        "CREATE TRIGGER t BEFORE INSERT ON vex_raw FOR EACH ROW EXECUTE FUNCTION noted()"
    )
    aoc.configure(excititor)
    refused = aoc.json("upgrade").finding("needs-search-path")

    broken = aoc.json("upgrade", *shlex.split("--accept 'needs-search-path:public.noted()'"))
    excititor.run(re.findall(r"ALTER FUNCTION .*?;", refused["help"])[0])
    repaired = aoc.json("verify", "--probe")

    assert 'relation "log" does not exist' in broken.finding("probe-not-possible")["problem"]
    assert (repaired.exit_code, repaired.slugs()) == (0, [])
