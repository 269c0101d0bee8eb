"""Every revision by every way of running it: up to head, down to base, and up again."""

from collections.abc import Callable

import pytest

from aoc_migrate.revisions.graph import history
from tests.conftest import ROOT, Aoc, Database, Ran
from tests.fingerprint import fingerprint
from tests.forks import Process
from tests.helpers import psql
from tests.partitions import partition

pytestmark = pytest.mark.every_postgres

Go = Callable[[str, str], None]


def by_command(database: Database, aoc: Aoc) -> Go:
    """Run aoc-migrate itself."""

    def go(direction: str, revision: str) -> None:
        release = ["--release-hold"] if direction == "upgrade" else []
        ran = aoc(direction, database.target, revision, *release, AOC_ALLOW_SUPERSEDES_RETROFIT="true")
        assert ran.exit_code == 0, ran.out + ran.err

    return go


def by_alembic(database: Database, aoc: Aoc) -> Go:
    """Run stock Alembic from the checkout."""

    def go(direction: str, revision: str) -> None:
        assert alembic(database, aoc, direction, revision).exit_code == 0

    return go


def by_script(database: Database, aoc: Aoc) -> Go:
    """Print the SQL with stock Alembic and run it with psql."""

    def go(direction: str, revision: str) -> None:
        printed = alembic(database, aoc, direction, f"{revision_of(database)}:{revision}", "--sql")
        options = {"PGOPTIONS": "-c aoc.allow_supersedes_retrofit=true"}
        ran = psql(database, printed.out, "-q", "-v", "ON_ERROR_STOP=1", **options)
        assert ran.exit_code == 0, ran.err

    return go


def by_plan(database: Database, aoc: Aoc) -> Go:
    """Print a script with `plan --sql`, without a connection, and run it with psql."""

    def go(_: str, revision: str) -> None:
        printed = Aoc()("plan", database.target, f"{revision_of(database)}:{revision}", "--sql")
        ran = psql(database, printed.out, "-v", "retrofit=1", "-v", "release_hold=1")
        assert ran.exit_code == 0, ran.err

    return go


def revision_of(database: Database) -> str:
    """Return the revision of the database, or base."""
    there = database.value("SELECT to_regclass('aoc_alembic_version')") is not None
    return str((there and database.value("SELECT version_num FROM aoc_alembic_version")) or "base")


def alembic(database: Database, aoc: Aoc, *words: str, check: bool = True, named: bool = True) -> Ran:
    """Run ``alembic -n TARGET …`` (``named``) or ``alembic …``, which must succeed where ``check`` says so."""
    section = ("-n", database.target) if named else ()
    process = Process("alembic", (*section, *words), aoc.env(AOC_ALLOW_SUPERSEDES_RETROFIT="true"), ROOT)
    out, err = process.communicate(timeout=60)
    assert process.wait() == 0 or not check, err
    return Ran(process.wait(), out, err)


WAYS = {"command": by_command, "alembic": by_alembic, "psql": by_script, "plan": by_plan}


def legacy(database: Database) -> None:
    """Chains without links, with wrong links, and with right ones."""
    database.run(f"ALTER TABLE {database.table} ADD COLUMN supersedes text")
    for document in range(4):
        for n in range(4):
            database.add(
                f"{document}-{n}",
                upstream_id=f"CVE-{document}",
                retrieved_at=f"2025-01-0{n + 1}T00:00:00Z",
                supersedes=["", f"{document}-{n - 1}", "0-0", "gone"][document] or None if n else None,
            )
    database.run(f"COMMENT ON TABLE {database.table} IS 'as it was'; GRANT SELECT ON {database.table} TO PUBLIC")


def strict(database: Database) -> None:
    """A table of a careful service: NOT NULL on some columns, both indexes, no link."""
    table = database.table
    database.add("1")
    database.add("2", retrieved_at="2025-01-02T00:00:00Z")
    database.run(
        f"ALTER TABLE {table} ALTER tenant SET NOT NULL, "
        f"ALTER linkset SET NOT NULL, ADD CHECK (tenant <> ''); CREATE UNIQUE INDEX {table}_idempotency_v1 "
        f"ON {table} (tenant, source_vendor, upstream_id, content_hash); "
        f"CREATE INDEX {table}_chain_v1 ON {table} "
        '(tenant, source_vendor, upstream_id, retrieved_at, id COLLATE "C")'
    )


def partitioned(database: Database) -> None:
    """Partitions of two levels, one of which has NOT NULL and an index of its own."""
    partition(database.connection, database.table)
    for document, tenant in enumerate("abcc"):
        for n in range(3):
            database.add(
                f"{document}-{n}",
                tenant=tenant,
                upstream_id=f"CVE-{document}",
                retrieved_at=f"2025-01-0{n + 1}T00:00:00Z",
            )
    database.run(
        f"ALTER TABLE {database.table}_a ALTER upstream SET NOT NULL; "
        'ALTER TABLE "Raw b" ALTER linkset SET NOT NULL; '
        f"CREATE UNIQUE INDEX own ON {database.table}_a (tenant, source_vendor, upstream_id, content_hash)"
    )


def fresh(database: Database) -> None:
    """A database in which the service has never run."""
    assert database.value("SELECT to_regclass(%s)", [database.table]) is None


STARTS = {"legacy": legacy, "strict": strict, "fresh": fresh, "partitioned": partitioned}
WALKS = [
    ("command", "concelier", "legacy"),
    ("command", "excititor", "strict"),
    ("command", "empty_database", "fresh"),
    ("command", "excititor", "partitioned"),
    ("alembic", "excititor", "legacy"),
    ("alembic", "concelier", "strict"),
    ("psql", "concelier", "legacy"),
    ("psql", "excititor", "strict"),
    ("psql", "empty_database", "fresh"),
    ("plan", "concelier", "legacy"),
    ("plan", "excititor", "strict"),
    ("plan", "empty_database", "fresh"),
]


def contents(database: Database) -> list[tuple[str, str | None, str]]:
    """(id, supersedes, everything else) of every row; no row at all without a table."""
    if database.value("SELECT to_regclass(%s)", [database.table]) is None:
        return []
    rest = "md5((to_jsonb(t) - 'supersedes')::text)"
    return database.rows(f"SELECT id, to_jsonb(t)->>'supersedes', {rest} FROM {database.table} AS t ORDER BY id")


def state(database: Database) -> tuple[object, object]:
    """Return what going up and down must give back: the catalog, and every row."""
    return fingerprint(database.connection), contents(database)


@pytest.mark.alike
@pytest.mark.parametrize(("way", "fixture", "start"), WALKS, ids=str)
def test_down_undoes_up(way: str, fixture: str, start: str, request: pytest.FixtureRequest, aoc: Aoc) -> None:
    """Each revision down leaves catalog and rows as they were before it went up, and head is the same again."""
    database: Database = request.getfixturevalue(fixture)
    aoc.configure(database)
    STARTS[start](database)
    go, line = WAYS[way](database, aoc), history(database.target)
    seen = [state(database)]

    for revision in line:
        go("upgrade", revision.id)
        seen.append(state(database))
    for before, revision in reversed([*zip(seen, line, strict=False)]):
        go("downgrade", revision.down or "base")
        assert state(database) == (before if revision.down else seen[1]), revision.id  # the first one keeps it all
    go("upgrade", "head")

    assert state(database) == seen[-1]


@pytest.mark.alike
@pytest.mark.parametrize("target", ["concelier", "excititor"])
def test_every_way_ends_in_the_same_place(target: str, request: pytest.FixtureRequest, aoc: Aoc) -> None:
    """The whole history, up and down, leaves the same catalog and rows by every way of running it."""
    database: Database = request.getfixturevalue(target)
    aoc.configure(database)
    legacy(database)
    ends = {}

    for name, way in WAYS.items():
        go = way(database, aoc)
        go("upgrade", "head")
        above = state(database)
        go("downgrade", "base")
        ends[name] = above, state(database)
        database.run("DROP TABLE aoc_migration_state, aoc_migration_hold, aoc_alembic_version")

    assert ends["command"] == ends["alembic"] == ends["psql"] == ends["plan"]


@pytest.mark.parametrize("target", ["concelier", "excititor"])
def test_a_history_is_one_line_of_revisions(target: str) -> None:
    """A history is one line of revisions, named in order after its target, in short ids."""
    ids = [revision.id for revision in history(target)]

    assert ids == [f"{target}_{n:04d}" for n in range(1, len(ids) + 1)]
    assert [revision.down for revision in history(target)] == [None, *ids[:-1]]
    assert max(map(len, ids)) <= 32
