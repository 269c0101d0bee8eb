"""Foreign code on the raw table: every kind is found before anything is written, and none of it runs."""

from collections.abc import Iterator

import pytest

from tests.conftest import Aoc, Database
from tests.helpers import PINNED
from tests.partitions import partition
from tests.planting import BODY, BOTH, CHECK, TEXT, TRIGGER, code, connected, plant, planter, ran
from tests.test_accept import options

pytestmark = pytest.mark.every_postgres

ADD = "ALTER TABLE vex_raw ADD "
LOG = "CREATE TABLE log (id text); INSERT INTO log VALUES ('1'); "
ALSO = "CREATE RULE r AS ON INSERT TO vex_raw DO ALSO "
EACH = "FOR EACH ROW EXECUTE FUNCTION planted.code()"
ATOMIC = "CREATE FUNCTION atomic(t text) RETURNS bool IMMUTABLE LANGUAGE sql {} RETURN planted.code(t); "
OPERATOR = f"{BOTH} CREATE OPERATOR ~~~ (LEFTARG = text, RIGHTARG = text, FUNCTION = planted.code); "
SUM = "CREATE AGGREGATE summed(text) (SFUNC = planted.code, STYPE = text); "
KINDS = {
    "row trigger": (f"{TRIGGER} CREATE TRIGGER t BEFORE INSERT ON vex_raw {EACH}", "trigger t"),
    "statement trigger": (
        f"{TRIGGER} CREATE TRIGGER t AFTER INSERT ON vex_raw EXECUTE FUNCTION planted.code()",
        "trigger t",
    ),
    "condition of a trigger": (
        f"{CHECK} CREATE FUNCTION passed() {PINNED} 'BEGIN RETURN NEW; END'; "
        "CREATE TRIGGER t BEFORE INSERT ON vex_raw FOR EACH ROW WHEN (planted.code(NEW.id)) "
        "EXECUTE FUNCTION passed()",
        "trigger t",
    ),
    "check": (f"{CHECK} {ADD} CONSTRAINT c CHECK (planted.code(id)) NOT VALID", "CHECK c"),
    "operator": (f"{OPERATOR} {ADD} CONSTRAINT c CHECK (id ~~~ id) NOT VALID", "CHECK c"),
    "operator of arrays": (
        f"{OPERATOR} {ADD} CONSTRAINT c CHECK (id ~~~ ALL (ARRAY[tenant])) NOT VALID",
        "CHECK c",
    ),
    "cast": (
        "CREATE TYPE kind AS (k text); "
        f"CREATE FUNCTION planted.code(t text) RETURNS kind {BODY.format('ROW(t)')}; "
        "CREATE CAST (text AS kind) WITH FUNCTION planted.code(text); "
        f"{ADD} CONSTRAINT c CHECK ((id::kind).k > '') NOT VALID",
        "CHECK c",
    ),
    "SQL-standard body": (
        f"{CHECK} {ATOMIC.format('')} {ADD} CONSTRAINT c CHECK (atomic(id)) NOT VALID",
        "CHECK c",
    ),
    "SQL-standard body with a search_path": (
        f"{CHECK} {ATOMIC.format('SET search_path = public')} {ADD} CONSTRAINT c CHECK (atomic(id)) NOT VALID",
        "CHECK c",
    ),
    "default of an argument": (
        f"{TEXT} CREATE FUNCTION pinned(a text, b text DEFAULT planted.code('b')) RETURNS bool IMMUTABLE "
        "LANGUAGE plpgsql SET search_path = pg_catalog AS 'BEGIN RETURN true; END'; "
        f"{ADD} CONSTRAINT c CHECK (pinned(id)) NOT VALID",
        "CHECK c",
    ),
    "default": (
        f"{TEXT} {ADD} z text; ALTER TABLE vex_raw ALTER z SET DEFAULT planted.code('z')",
        "the default of column z",
    ),
    "generated column": (
        f"{TEXT} {ADD} g text GENERATED ALWAYS AS (planted.code(id)) STORED",
        "the generated column g",
    ),
    "index": (f"{TEXT} CREATE INDEX i ON vex_raw (planted.code(id))", "index i"),
    "part of an index": (f"{CHECK} CREATE INDEX i ON vex_raw (id) WHERE planted.code(id)", "index i"),
    "operator class": (
        f"CREATE FUNCTION planted.code(a text, b text) RETURNS int {BODY.format('0')}; "
        "CREATE OPERATOR CLASS odd FOR TYPE text USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, "
        "OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 planted.code(text, text); CREATE INDEX i ON vex_raw (id odd)",
        "index i",
    ),
    "domain": (
        f"{CHECK} CREATE DOMAIN d AS text CONSTRAINT c CHECK (planted.code(VALUE)); {ADD} z d",
        "the type of column z",
    ),
    "domain over a domain": (
        f"{CHECK} CREATE DOMAIN d AS text CONSTRAINT c CHECK (planted.code(VALUE)); "
        f"CREATE DOMAIN e AS d; {ADD} z e",
        "the type of column z",
    ),
    "default of a domain": (
        f"{TEXT} CREATE DOMAIN d AS text DEFAULT planted.code('z'); {ADD} z d",
        "the type of column z",
    ),
    "field of a composite type": (
        f"{CHECK} CREATE DOMAIN d AS text CONSTRAINT c CHECK (planted.code(VALUE)); CREATE TYPE pair AS (a d); "
        f"{ADD} z text; ALTER TABLE vex_raw ALTER z SET DEFAULT "
        '(jsonb_populate_record(NULL::pair, \'{"a": "b"}\')).a::text',
        "the default of column z",
    ),
    "field of a table's row type": (
        f"{CHECK} CREATE DOMAIN d AS text CONSTRAINT c CHECK (planted.code(VALUE)); CREATE TABLE kept (a d); "
        f"{ADD} z text; ALTER TABLE vex_raw ALTER z SET DEFAULT "
        '(jsonb_populate_record(NULL::kept, \'{"a": "b"}\')).a::text',
        "the default of column z",
    ),
    "rule": (f"{TEXT} {LOG} {ALSO} INSERT INTO log VALUES (planted.code(NEW.id))", "rule r"),
    "aggregate": (
        f"CREATE FUNCTION planted.code(a text, b text) RETURNS text {BODY.format('a')}; {SUM} {LOG} "
        f"{ALSO} INSERT INTO log SELECT summed(x) FROM (VALUES (NEW.id)) AS v (x)",
        "rule r",
    ),
    "trigger of a table that a rule writes to": (
        f"{TRIGGER} {LOG} CREATE TRIGGER t BEFORE INSERT ON log {EACH}; {ALSO} INSERT INTO log VALUES (NEW.id)",
        "rule r",
    ),
    "view that a rule reads": (
        f"{TEXT} {LOG} CREATE VIEW v AS SELECT planted.code(id) AS x FROM log; "
        f"{ALSO} INSERT INTO log SELECT x FROM v",
        "rule r",
    ),
    "event trigger": (
        f"CREATE FUNCTION planted.code() RETURNS event_trigger {BODY.format('')}; "
        "CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION planted.code()",
        "event trigger e",
    ),
}


@pytest.fixture
def untrusted_role(excititor: Database, aoc: Aoc) -> Iterator[str]:
    """A role that is not trusted; the raw table is empty, so that defaults are needed."""
    aoc.configure(excititor)
    with planter(excititor) as name:
        yield name
        excititor.run("DROP EVENT TRIGGER IF EXISTS e")


@pytest.mark.alike
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_foreign_code_stops_an_upgrade(
    kind: str, untrusted_role: str, excititor: Database, aoc: Aoc
) -> None:
    """Each kind of code is found, whatever its search_path; nothing runs or changes until it is accepted."""
    made, runs = KINDS[kind]
    plant(excititor, untrusted_role, made)

    audited, refused = aoc.json("audit"), aoc.json("upgrade")

    (function,) = code(audited)
    for report in (audited, refused):
        assert (report.exit_code, report.slugs("error")) == (1, ["foreign-code"])
        found = report.finding("foreign-code")
        assert f"({runs})" in found["problem"]
        assert function in found["problem"]
        assert untrusted_role in found["problem"]
        assert "GRANT" not in found["help"]
    assert not ran(excititor)
    assert excititor.value("SELECT to_regclass('aoc_migration_state')") is None
    printed = options(audited.finding("foreign-code")["help"])
    assert printed == ["--accept", f"foreign-code:{function}"]

    accepted = aoc.json("upgrade", *printed)

    assert (accepted.exit_code, accepted.slugs("error")) == (0, [])
    assert accepted.report["facts"]["probed"]
    assert ran(excititor)


def test_a_role_with_only_trigger_cannot_run_code_as_us(
    untrusted_role: str, excititor: Database, aoc: Aoc
) -> None:
    """A role with no more than TRIGGER on the table attaches code; it does not run as the migrating role."""
    excititor.run(f"GRANT TRIGGER ON vex_raw TO {untrusted_role}")
    with connected(excititor, untrusted_role) as theirs:
        theirs.execute(
            "CREATE FUNCTION planted.mine() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS "
            "'BEGIN PERFORM nextval(''public.ran''); RETURN NEW; END'"
        )
        theirs.execute(
            "CREATE TRIGGER mine BEFORE INSERT ON public.vex_raw FOR EACH ROW EXECUTE FUNCTION planted.mine()"
        )

    refused = aoc.json("upgrade")

    assert (refused.exit_code, code(refused)) == (1, ["planted.mine()"])
    assert not ran(excititor)


TRUSTED = {
    "the owner": "ALTER TABLE vex_raw OWNER TO {0}",
    "who may act as the owner": "CREATE ROLE {0}_owner; ALTER TABLE vex_raw OWNER TO {0}_owner; "
    "GRANT {0}_owner TO {0}",
    "a superuser": "ALTER ROLE {0} SUPERUSER",
}


@pytest.mark.parametrize("who", TRUSTED)
def test_code_of_trusted_roles_is_accepted(who: str, untrusted_role: str, excititor: Database, aoc: Aoc) -> None:
    """Code of the table's owner, of roles that may act as that owner and of superusers is not a finding."""
    plant(excititor, untrusted_role, KINDS["row trigger"][0])
    excititor.run(TRUSTED[who].format(untrusted_role))

    ended = aoc.json("upgrade")
    excititor.run("ALTER TABLE vex_raw OWNER TO CURRENT_USER")
    if who == "who may act as the owner":
        excititor.run(f"DROP OWNED BY {untrusted_role}_owner")
    excititor.run(f"DROP ROLE IF EXISTS {untrusted_role}_owner")

    assert (ended.exit_code, ended.slugs("error")) == (0, [])
    assert ran(excititor)


HARMLESS = {
    "disabled trigger": f"{KINDS['row trigger'][0]}; ALTER TABLE vex_raw DISABLE TRIGGER t",
    "another event": f"{TRIGGER} CREATE TRIGGER t BEFORE DELETE ON vex_raw {EACH}",
    "another column": f"{TRIGGER} CREATE TRIGGER t BEFORE UPDATE OF tenant ON vex_raw {EACH}",
    "disabled rule": f"{KINDS['rule'][0]}; ALTER TABLE vex_raw DISABLE RULE r",
    "disabled event trigger": f"{KINDS['event trigger'][0]}; ALTER EVENT TRIGGER e DISABLE",
    "policy that is off": f"{CHECK} CREATE POLICY p ON vex_raw USING (planted.code(id))",
    "column of a composite type": (
        f"{CHECK} CREATE DOMAIN d AS text CONSTRAINT c CHECK (planted.code(VALUE)); CREATE TYPE pair AS (a d); "
        f"{ADD} z pair"
    ),
    "another table": f"{CHECK} CREATE TABLE other (id text CHECK (planted.code(id)))",
}


@pytest.mark.alike
@pytest.mark.parametrize("case", HARMLESS)
def test_code_that_our_writes_do_not_run_is_ignored(
    case: str, untrusted_role: str, excititor: Database, aoc: Aoc
) -> None:
    """Code that our writes do not run is not a finding, and does not run."""
    plant(excititor, untrusted_role, HARMLESS[case])

    assert (aoc.json("upgrade").slugs("error"), ran(excititor)) == ([], False)


def test_code_on_any_partition_is_found(untrusted_role: str, excititor: Database, aoc: Aoc) -> None:
    """Code on a partition of any level is found too."""
    partition(excititor.connection, "vex_raw")
    plant(excititor, untrusted_role, f"{TRIGGER} {CHECK} CREATE TRIGGER t BEFORE INSERT ON cold.vex_raw_b {EACH}")
    excititor.run("ALTER TABLE vex_raw_a ADD CONSTRAINT c CHECK (planted.code(id))")

    ended = aoc.json("upgrade")

    assert (ended.exit_code, code(ended)) == (1, ["planted.code()", "planted.code(text)"])
