"""URLs and variables: whatever they hold, the exit code is documented and no secret is printed."""

from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

from aoc_migrate.database.targets import TARGETS, read_targets
from aoc_migrate.errors import Abort
from tests.conftest import Aoc
from tests.fuzzing.json_texts import ANY
from tests.fuzzing.place import Place, legacy

SECRET = "s3cret"
"""What every password and query that must stay private has in it."""
WORD = st.text(ANY, max_size=12)
HOSTILE = st.sampled_from(
    [
        *(
            "",
            " ",
            "-",
            "--",
            "\n",
            "\x1b[31m",
            "%s",
            "%",
            "{0}",
            "$aoc",
            "'; DROP TABLE x; --",
            '"',
            "\\",
            "漢",
            "a" * 300,
        ),
        *("0", "-1", "99999999999999999999", "NaN", "true", "false", "TRUE", "yes", "/dev/null", "nowhere/x", "."),
    ]
)
PASSWORD = st.tuples(WORD, WORD).map(lambda around: f"{around[0]}{SECRET}{around[1]}")
HOSTS = st.sampled_from(
    ["127.0.0.1", "localhost", "%2Fnowhere", "", "[::1]", "no.host.invalid", "127.0.0.1,127.0.0.1"]
)
PORTS = st.sampled_from(["", ":1", ":0", ":65536", ":x", ":1,2"])
TAILS = st.sampled_from(
    ["", "?", "?connect_timeout=1", "?sslmode=bogus", "?user=a&user=b", "?options=-csearch_path%3Dx", "#x"]
)


def _url(scheme: str, user: str, password: str, encoded: bool, host: str, port: str, name: str, tail: str) -> str:
    secret = quote(password, safe="") if encoded else password
    return f"{scheme}{quote(user, safe='')}:{secret}@{host}{port}/{quote(name, safe='')}{tail}"


SCHEMES = st.sampled_from(
    ["postgresql://", "postgres://", "postgresql+psycopg://", "POSTGRESQL://", "mysql://", "://"]
)
URLS = (
    st.builds(_url, SCHEMES, WORD, PASSWORD, st.booleans(), HOSTS, PORTS, WORD, TAILS)
    | st.tuples(WORD, PASSWORD).map(lambda d: f"host=127.0.0.1 port=1 dbname={d[0]} password={d[1]}")
    | PASSWORD
)
VARIABLES = {
    **dict.fromkeys([f"{target.upper()}_DATABASE_URL" for target in TARGETS], URLS | HOSTILE),
    **dict.fromkeys([f"{target.upper()}_DATABASE_URL_FILE" for target in TARGETS], HOSTILE),
    **dict.fromkeys([f"{target.upper()}_DATABASE_PASSWORD" for target in TARGETS], PASSWORD),
    **dict.fromkeys([f"{target.upper()}_DATABASE_PASSWORD_FILE" for target in TARGETS], HOSTILE),
    **dict.fromkeys([f"{target.upper()}_DATABASE_SCHEMA" for target in TARGETS], HOSTILE | WORD),
    **dict.fromkeys([f"{target.upper()}_TABLE_OWNER" for target in TARGETS], HOSTILE | WORD),
    **dict.fromkeys(["AOC_ALLOW_SUPERSEDES_RETROFIT", "AOC_GUARD_ENABLED", "AOC_METRICS_ENABLED"], HOSTILE | WORD),
    **dict.fromkeys(["AOC_VERIFIER_USER", "AOC_IMAGE", "AOC_TICKET", "AOC_LOG_FORMAT"], HOSTILE | WORD),
    "AOC_THROTTLE_QUERY": PASSWORD,
    "PGPASSWORD": PASSWORD,
    "PGSERVICE": HOSTILE,
    "PGOPTIONS": st.sampled_from(["-c search_path=x", "-c role=nobody", "-c nonsense", "-c statement_timeout=1"]),
    "PGSSLMODE": HOSTILE,
    "PGTZ": HOSTILE,
    "LC_ALL": st.sampled_from(["C", "tr_TR.UTF-8", "nonsense"]),
    "COLUMNS": HOSTILE,
    "TERM": HOSTILE,
    "NO_COLOR": HOSTILE,
}
COMMANDS = [
    "audit",
    "plan",
    "status",
    "verify",
    "upgrade",
    "downgrade -1",
    "chain",
    "history",
    "quarantine",
    "repair",
]
EXAMPLES = st.tuples(
    st.sampled_from([*[""] * 30, *COMMANDS]),  # mostly, the variables are only read
    st.booleans(),  # whether concelier is a database that answers
    st.dictionaries(st.sampled_from(sorted(VARIABLES)), st.just(None), max_size=5).flatmap(
        lambda names: st.fixed_dictionaries({name: VARIABLES[name] for name in names})
    ),
)


def environment(variables: dict[str, str]) -> dict[str, str]:
    """Return the variables that an operating system can hold."""
    return {name: value for name, value in variables.items() if "\0" not in value}


def check(place: Place, example: tuple[str, bool, dict[str, str]]) -> None:
    """A command ends with a documented exit code, without traceback or secret."""
    command, answers, drawn = example
    read(drawn)
    if not command:
        return
    if not answers:
        said(Aoc(), *command.split(), **environment(drawn))
        return
    with place.clone("concelier", "legacy concelier", legacy) as database:
        reached = {"CONCELIER_DATABASE_URL": database.url_as(*role(place))}
        said(Aoc(reached), *command.split(), **environment({k: v for k, v in drawn.items() if k not in reached}))


def read(variables: dict[str, str]) -> None:
    """Read the targets in this process: they are read, or refused with no part of a secret."""
    try:
        for target in read_targets(variables).values():
            assert SECRET not in repr(target) + repr(target.place()) + target.login("reader")
    except Abort as refused:
        assert (refused.exit_code, SECRET in str(refused)) == (2, False), str(refused)


def role(place: Place) -> tuple[str, str]:
    """Return a superuser with a password that must not be printed, and that password."""
    name, password = "fuzz", f"p@ss {SECRET}/%"
    with place.connect() as admin:
        admin.execute(
            "DO $$ BEGIN CREATE ROLE fuzz LOGIN SUPERUSER; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )
        admin.execute(f"ALTER ROLE {name} PASSWORD '{password}'")
    return name, password


def said(aoc: Aoc, *words: str, **more: str) -> Any:
    """Run a command and return what it said; its exit code must be documented, and nothing may be private."""
    ran = aoc(*words, **more)
    said = ran.out + ran.err
    assert ran.exit_code in (0, 1, 2, 3, 4), (ran.exit_code, said)
    assert "with AOC_DEBUG=1" not in said, said  # an unexpected error
    for secret in (SECRET, quote(SECRET)):
        assert secret not in said, said
    return ran
