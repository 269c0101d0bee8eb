"""docs/operations.md lists the rights that each command needs: with these it works, without any one it refuses."""

import re
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from aoc_migrate.cli import COMMANDS
from tests.conftest import ROOT, Aoc, Database, Ran
from tests.privileges import OWNED, PASSWORD, ROLES, VERIFIER, Lab, state, under_way
from tests.sampling import EVERYTHING

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8").partition("## Privileges")[2]
TYPED = {
    "audit": "head",
    "verify": "head",
    "chain": "head",
    "repair": "dirty --rule all",
    "dedupe": "dirty",
    "plan": "head",
    "status": "head",
    "history": "head",
    "control": "half",
    "verifier check": "verifier",
    "wait": "head --timeout 1s",
    "chain --drop-journal": "head",
    "quarantine": "deduped",
    "upgrade": "half",
    "downgrade": "head base",
    "constraints --remove": "head",
    "chain --apply": "head",
    "control --pause": "half",
    "chain --drop-journal --apply": "head",
    "repair --apply": "dirty --rule all",
    "dedupe --apply": "dirty",
    "repair --restore --apply": "repaired",
    "dedupe --restore --apply": "deduped",
    "rehearse": "half --copy-is rights_copy",
    "verifier create": "guarded",
    "verifier drop": "verifier",
}
"""For each command of the page, the database that it runs on, and what is typed besides."""
READING = (
    *(
        "audit",
        "plan concelier base",
        "verify",
        "verify --probe",
        "status",
        "history",
        "wait",
        "upgrade",
        "chain concelier",
    ),
    *("chain concelier --drop-journal", "quarantine", "repair concelier --rule all", "dedupe concelier"),
)
"""Commands that write nothing at head, as they are typed."""
ADMINISTRATIVE = {"bundle", "sandbox", "explain", "config-path", "revision"}
"""Commands that need no database."""
COLUMNS = ("schema", "raw_owner", "version_owner", "state_owner", "journal_owner", "advisory_owner", "and")


@dataclass(frozen=True)
class Right:
    """A right of the page, and the SQL that grants it and takes it away."""

    name: str
    grant: str
    take: str


def documented() -> dict[str, list[str]]:
    """Return the cells of each command of the page."""
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in re.findall(r"(?m)^\| `.*$", PAGE)]
    return {command: cells for first, *cells in rows for command in re.findall(r"`(.+?)`", first)}


FIRST = set(re.findall(r"(?m)^\| `(.+?)`", PAGE))
"""The first command of each row loses each of its rights; the others one, or each with AOC_TEST_EVERYTHING."""


def rights(command: str, existing: set[str]) -> list[Right]:
    """Return the rights that the page lists for a command, as far as their tables are ``existing``."""
    found = []
    for column, cell in zip(COLUMNS, documented()[command], strict=True):
        tables = sorted(existing & {"advisory_raw" if column == "raw_owner" else "", *OWNED.get(column, ())})
        for need in cell.split(", ") if re.search(r"\w", cell) else []:
            found += [right for right in _rights(need, column, tables) if tables or column in ("schema", "and")]
    return found


def _rights(need: str, column: str, tables: list[str]) -> Iterator[Right]:
    me, on_schema = ROLES["tested"], "ON SCHEMA public"
    owners = [ROLES[name] for name in COLUMNS[1:6]]
    match need.removesuffix(" WITH GRANT OPTION"), need:
        case "SELECT", _:
            for table in tables:
                yield Right(
                    f"SELECT on {table}", f"GRANT SELECT ON {table} TO {me}", f"REVOKE SELECT ON {table} FROM {me}"
                )
        case "SELECT on the version", _:
            yield from _rights("SELECT", column, ["aoc_alembic_version"])
        case "owner", _:  # SELECT remains; an owner of our tables has the rights of the raw table's owner
            taken = ", ".join(owners[:4]) if column == "raw_owner" else ROLES[column]
            left = f"GRANT SELECT ON {', '.join(tables)} TO {me}"
            yield Right(column, f"GRANT {ROLES[column]} TO {me}", f"REVOKE {taken} FROM {me}; {left}")
        case "CREATEROLE", _:
            yield Right(need, f"ALTER ROLE {me} CREATEROLE", f"ALTER ROLE {me} NOCREATEROLE")
        case "CREATE for the owner of `advisory`" | "CREATE for the owner of the raw table", _:
            owner = ROLES["advisory_owner" if "advisory" in need else "raw_owner"]
            yield Right(need, f"GRANT CREATE {on_schema} TO {owner}", f"REVOKE CREATE {on_schema} FROM {owner}")
        case ("USAGE" | "CREATE") as right, _:  # the role also has what the owners have
            everybody = ", ".join([me, *owners])
            yield Right(
                right, f"GRANT {right} {on_schema} TO {me}", f"REVOKE {right} {on_schema} FROM {everybody}"
            )
            if right != need:
                change = f"{right} {on_schema}"
                yield Right(
                    need,
                    f"GRANT {change} TO {me} WITH GRANT OPTION",
                    f"REVOKE GRANT OPTION FOR {change} FROM {me}",
                )
        case _:
            raise AssertionError(f"this test does not know {need!r}")


@pytest.fixture(scope="module")
def lab(pg_server: SimpleNamespace) -> Lab:
    """Databases in every state that a command needs."""
    return Lab(pg_server)


def run(lab: Lab, database: Database, command: str) -> Ran:
    """Run a command as the tested role."""
    url = database.url_as(ROLES["tested"], PASSWORD)
    known = {"AOC_COPY_URL": url} if command == "rehearse" else {"CONCELIER_DATABASE_URL": url}
    if command == "verifier create":
        known["AOC_VERIFIER_USER"] = f"{VERIFIER}_too"
    verb, *options = command.split()
    words = [
        verb,
        *([options.pop(0)] if verb == "verifier" else []),
        "concelier",
        *TYPED[command].split()[1:],
        *options,
    ]
    return Aoc(lab.environment | known).json(*words)


@pytest.mark.alike
@pytest.mark.parametrize("command", documented())
def test_a_command_needs_each_right_that_the_page_lists(lab: Lab, command: str) -> None:
    """Without any one of them it names the right, exits with 1 and changes nothing; with all of them it works."""
    with lab.copy(TYPED[command].split()[0]) as copy:
        existing = {name for (name,) in copy.rows("SELECT relname FROM pg_class WHERE relkind IN ('r', 'v')")}
        listed = rights(command, existing)
        taken = listed if EVERYTHING or command in FIRST else [listed[sum(command.encode()) % len(listed)]]
        aoc = Aoc(lab.environment | {"CONCELIER_DATABASE_URL": copy.url})
        with under_way(copy, aoc) if command.startswith("control") else nullcontext():
            for lacking in [*taken, None]:
                for right in listed:
                    copy.run(right.grant)
                if lacking:
                    copy.run(lacking.take)
                before = state(copy)
                ran = run(lab, copy, command)
                assert outcome(command, lacking, ran) == [], f"{lacking}: {ran.out}{ran.err}"
                assert lacking is None or state(copy) == before, lacking


def outcome(command: str, lacking: Right | None, ran: Ran) -> list[str]:
    """Return what is wrong with how a command ended that lacks a right, or none."""
    expected = (0, set()) if lacking is None else (1, {"privileges"})
    if command == "wait" and lacking and lacking.name == "USAGE":
        expected = (3, {"not-ready"})
    if lacking and lacking.name.endswith("`advisory`"):
        expected = (1, {"swap-conflict"})
    found = (ran.exit_code, set(ran.slugs("error")))
    helps = [f["help"] for f in ran.report["findings"] if f["severity"] == "error" and f["slug"] == "privileges"]
    unclear = [text for text in helps if not re.search(r"GRANT .+ TO |ALTER ROLE .+ CREATEROLE", text)]
    return [*([f"{found}, not {expected}"] if found != expected else []), *unclear]


def test_commands_that_read_write_nothing(lab: Lab) -> None:
    """Even if the role may write everything, no command that only reads changes catalog, rows or ledger."""
    with lab.copy("head") as copy:
        aoc, ledger = (
            Aoc(lab.environment | {"CONCELIER_DATABASE_URL": copy.url}),
            "SELECT * FROM aoc_migration_log",
        )
        before = state(copy), copy.rows(ledger)
        for words in READING:
            ran = aoc(*words.split())
            assert ran.exit_code == 0, ran.out + ran.err
            assert (state(copy), copy.rows(ledger)) == before, words


def test_every_command_is_on_the_page() -> None:
    """Each command that reads or changes a database has a row."""
    assert {command.split()[0] for command in documented()} == set(COMMANDS) - ADMINISTRATIVE
