"""Databases in which one role has exactly the rights that docs/operations.md lists for a command.

Every table of ours has an owner of its own here, so that each ownership can be taken away.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

import psycopg
from psycopg.conninfo import make_conninfo

from tests.conftest import Aoc, Database
from tests.faults.scenarios import fill
from tests.fingerprint import fingerprint
from tests.helpers import wait_until
from tests.postgres_versions import ADMIN_OPTION, has

NAMES = ("tested", "raw_owner", "version_owner", "state_owner", "journal_owner", "advisory_owner")
ROLES = {name: f"{name}_{os.getpid()}" for name in NAMES}
OWNED = {
    "version_owner": ("aoc_alembic_version", "aoc_migration_hold"),
    "state_owner": ("aoc_migration_state", "aoc_migration_log"),
    "journal_owner": ("aoc_supersedes_journal",),
    "advisory_owner": ("advisory", "advisory_backup_20251028"),
}
VERIFIER = f"verifier_{os.getpid()}"
PASSWORD = "for the test"
MADE = {
    "new": ("", ()),
    "half": ("new", ("upgrade", "concelier_0006")),
    "head": ("new", ("upgrade", "head")),
    "dirty": ("head", ("constraints", "concelier", "--remove")),
    "deduped": ("dirty", ("dedupe", "--apply")),
    "repaired": ("dirty", ("repair", "--rule", "all", "--apply")),
    "guarded": ("head", ()),
    "verifier": ("guarded", ("verifier", "create", "concelier")),
}
"""Each database: the one that it is a copy of, and the command that made it. In a guarded one, policies apply."""
DIRT = """UPDATE advisory_raw SET content_hash = 'x', upstream_id = 'u' WHERE id IN ('r1', 'r2');
UPDATE advisory_raw SET tenant = ' ' WHERE id = 'r3'"""


@dataclass
class Lab:
    """A server with a database for each entry of `MADE`, which are made when they are asked for."""

    server: SimpleNamespace
    made: set[str] = field(default_factory=set)
    environment: ClassVar = {
        "AOC_ALLOW_SUPERSEDES_RETROFIT": "true",
        "AOC_GUARD_ENABLED": "false",
        "AOC_VERIFIER_USER": VERIFIER,
    }

    def connect(self, name: str) -> Database:
        """Connect to a database as the superuser."""
        known = {key: getattr(self.server, key) for key in ("host", "port", "user", "password")}
        connection = psycopg.connect(make_conninfo("", **known, dbname=name), autocommit=True)
        return Database(connection, "advisory_raw", "concelier")

    def template(self, name: str) -> str:
        """Return the name of a database of `MADE`, which is not to be changed."""
        database = f"rights_{name}"
        if name not in self.made:
            self.made.add(name)
            origin, words = MADE[name]
            self._copy(self.template(origin) if origin else "template0", database)
            made = self.connect(database)
            self._fill(made, name, words)
            made.connection.close()
        return database

    def _copy(self, template: str, name: str) -> None:
        admin = self.connect("postgres")
        admin.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        admin.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        admin.connection.close()

    def _fill(self, made: Database, name: str, words: tuple[str, ...]) -> None:
        if name == "new":
            for role in ROLES.values():
                made.run(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
            for role in ("version_owner", "state_owner", "journal_owner"):  # we trust nobody else
                made.run(f"GRANT {ROLES['raw_owner']} TO {ROLES[role]}")
            fill(made.connection, made.table, 20)
            made.run(
                f"REVOKE ALL ON SCHEMA public FROM PUBLIC; ALTER TABLE advisory_raw OWNER TO {ROLES['raw_owner']}"
            )
        if words:
            verb, *rest = words
            ran = Aoc(self.environment | {"CONCELIER_DATABASE_URL": made.url})(verb, *rest)
            assert ran.exit_code == 0, ran.out + ran.err
        if name == "dirty":
            made.run(DIRT)
        if name == "guarded":
            made.run("ALTER TABLE advisory_backup_20251028 ENABLE ROW LEVEL SECURITY")
        if name == "verifier":
            newer = has(made.connection, ADMIN_OPTION)
            options = "ADMIN TRUE, INHERIT FALSE, SET FALSE"
            made.run(f"GRANT {VERIFIER} TO {ROLES['tested']} WITH {options}" if newer else "SELECT")
        for role, tables in OWNED.items():
            for table in tables:
                if made.value("SELECT to_regclass(%s)", [table]):
                    kind = (
                        "VIEW"
                        if made.value("SELECT relkind = 'v' FROM pg_class WHERE oid = %s::regclass", [table])
                        else "TABLE"
                    )
                    made.run(f"ALTER {kind} {table} OWNER TO {ROLES[role]}")

    @contextmanager
    def copy(self, name: str) -> Iterator[Database]:
        """Yield a copy of a database of `MADE`, in which the tested role has no right yet."""
        self._copy(self.template(name), "rights_copy")
        copy = self.connect("rights_copy")
        try:
            yield copy
        finally:
            copy.connection.close()
            admin = self.connect("postgres")
            admin.run("DROP DATABASE rights_copy WITH (FORCE)")
            for role in NAMES[1:]:
                admin.run(f"REVOKE {ROLES[role]} FROM {ROLES['tested']}")
            admin.run(f"ALTER ROLE {ROLES['tested']} NOCREATEROLE; DROP ROLE IF EXISTS {VERIFIER}_too")
            admin.connection.close()


def state(database: Database) -> list[Any]:
    """Return the catalog, the roles and the rows of every table but the ledger, which a run writes."""
    tables = database.rows(
        "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = "
        "'public'::regnamespace AND relname <> 'aoc_migration_log' ORDER BY 1"
    )
    rows = [
        database.value(f"SELECT string_agg(t::text, ';' ORDER BY t::text) FROM {table} AS t")
        for (table,) in tables
    ]
    return [
        fingerprint(database.connection, without="^$"),
        database.rows("SELECT rolname FROM pg_roles ORDER BY 1"),
        tables,
        rows,
    ]


@contextmanager
def under_way(database: Database, aoc: Aoc) -> Iterator[None]:
    """Let an upgrade be under way, which waits for an open transaction."""
    with psycopg.connect(database.url) as writer:
        writer.execute("LOCK TABLE advisory_raw IN ROW EXCLUSIVE MODE")
        process = aoc.start("upgrade")
        try:
            locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            wait_until(lambda: database.value(locks) > 0)
            yield
        finally:
            process.kill()
            process.communicate()
