"""A database on which commands run, its twin on which none ever does, and every row that was ever stored."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from aoc_migrate.revisions.graph import head
from aoc_migrate.sandbox.databases import RAW_TABLES, create_legacy_advisory, create_raw_table
from tests.adversary import Row, faults
from tests.conftest import Database
from tests.fingerprint import fingerprint
from tests.fuzzing.dirty_rows import KEY
from tests.fuzzing.place import Place, commands, passes
from tests.fuzzing.there_and_back import KEPT, insert
from tests.homeward import play
from tests.partitions import partition

COLUMNS = (*KEY, "retrieved_at", "source", "upstream", "linkset", "content", "identifiers")
_GUARDS = {"keys": "keys", "objects": "objects", "content": "content"}
_HERE = f"md5(row({', '.join(COLUMNS)})::text)"
MOST = 16


class World:
    """A database as commands and others have left it.

    ``rows``: a digest of each row that was stored, by id. ``ways_out``: what takes away the obstacles of others,
    and whether the twin has them too. ``theirs``: the rows of their tables.
    """

    def __init__(self, place: Place, target: str, *, parted: bool, linked: bool) -> None:
        self.place, self.target, self.table, self.parted = place, target, RAW_TABLES[target], parted
        self.rows: dict[str, str] = {}
        self.ways_out: list[tuple[str, bool]] = []
        self.theirs: dict[str, list[str]] = {}
        self.name, self.twin = (place.create("template0") for _ in range(2))
        for name in (self.name, self.twin):
            with self.connected(name) as database:
                create_raw_table(database.connection, self.table)
                if linked:
                    database.run(f"ALTER TABLE {self.table} ADD supersedes text")
                if parted:
                    partition(database.connection, self.table)
                create_legacy_advisory(database.connection)
                if target == "excititor":
                    database.run("DROP TABLE advisory CASCADE")

    @contextmanager
    def connected(self, name: str = "") -> Iterator[Database]:
        """Connect to the database, or to another one."""
        with self.place.connect(name or self.name) as connection:
            yield Database(connection, self.table, self.target)

    def insert(self, row: Row, link: str | None) -> bool:
        """Insert a row as a service would; return whether it was stored. Guards refuse what breaks their rule."""
        with self.connected() as database:
            found, duplicate = faults(row), self._duplicate(database, row)
            refused_by = self._guards(database)
            new = row | ({"supersedes": link} if self.linked(database) else {})
            try:
                insert(database, new)
            except psycopg.errors.IntegrityError as error:
                assert found or duplicate, f"a good row was refused: {row}, {error}"
                return False
            assert not found & refused_by, f"a bad row was stored: {row}, {found & refused_by}"
            assert not (duplicate and "duplicate" in refused_by), f"a duplicate was stored: {row}"
            digest = database.value(f"SELECT {_HERE} FROM {self.table} WHERE id = %s", [row["id"]])
            self.rows[row["id"]] = digest
            return True

    def linked(self, database: Database) -> bool:
        """Return whether the raw table has the column for links."""
        named = "SELECT count(*) FROM pg_attribute WHERE attrelid = %s::regclass AND attname = 'supersedes'"
        return bool(database.value(named, [self.table]))

    def _duplicate(self, database: Database, row: Row) -> bool:
        same = " AND ".join(f"{column} = %({column})s" for column in KEY)
        return bool(database.value(f"SELECT EXISTS (SELECT FROM {self.table} WHERE {same})", row))

    def _guards(self, database: Database) -> set[str]:
        """Return the rules that the catalog holds new rows to."""
        names = "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass"
        held = {name for (name,) in database.rows(names, [self.table])}
        found = {rule for rule, part in _GUARDS.items() if f"{self.table}_{part}_v1" in held}
        columns = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnotnull"
        found |= {f"no {name}" for (name,) in database.rows(columns, [self.table])}
        index = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"
        return found | ({"duplicate"} if database.value(index, [f"{self.table}_idempotency_v1"]) else set())

    def change(self, statement: str, number: int, *, kept: bool) -> None:
        """Let others change the database; the twin as well if the change is ``kept``."""
        key = "id, tenant, content_hash" if self.parted else "id"
        for name in (self.name, self.twin) if kept else (self.name,):
            with self.connected(name) as database:
                database.run(statement.format(t=self.table, n=number, key=key))

    def obstruct(self, statement: str, way_out: str, number: int, *, kept: bool) -> None:
        """Let others put something in our way, if what it needs of ours is there."""
        with suppress(*(() if kept else (psycopg.Error,))):
            self.change(statement, number, kept=kept)
            self.ways_out.append((way_out.format(t=self.table, n=number), kept))
            if "CREATE TABLE theirs_" in statement:
                self.theirs[f"theirs_{number}"] = self._their_rows(f"theirs_{number}")

    def _their_rows(self, name: str) -> list[str]:
        with self.connected() as database:
            return [row for (row,) in database.rows(f"SELECT theirs::text FROM {name} AS theirs ORDER BY 1")]

    def others_give_way(self) -> None:
        """Let others take away what is in our way; nothing of it may have gone before."""
        self._take_away()
        with self.connected(self.twin) as twin:
            for statement, kept in self.ways_out:
                if kept:
                    twin.run(statement)
        self.ways_out, self.theirs = [], {}

    def _take_away(self) -> None:
        with self.connected() as database:
            for statement, _ in self.ways_out:
                database.run(statement)

    def revision(self) -> str | None:
        """Return the revision that the version table has."""
        with self.connected() as database:
            there = database.value("SELECT to_regclass('aoc_alembic_version') IS NOT NULL")
            return database.value("SELECT version_num FROM aoc_alembic_version") if there else None

    def nothing_lost(self) -> None:
        """Check that each row is in the table or moved, once; and that its original is in one of the two."""
        with self.connected() as database:
            live = dict(database.rows(f"SELECT id, {_HERE} FROM {self.table}"))
            kept: dict[str, set[str]] = {}
            moved = set[str]()
            if database.value("SELECT to_regclass(%s) IS NOT NULL", [f"{self.table}_quarantine"]):
                quarantine = f"SELECT id, {_HERE}, quarantine_repaired IS NULL FROM {self.table}_quarantine"
                for id_, digest, was_moved in database.rows(quarantine):
                    kept.setdefault(id_, set()).add(digest)
                    moved |= {id_} if was_moved else set()
            assert not moved & set(live), f"in two places: {moved & set(live)}"
            for name, rows in self.theirs.items():
                assert self._their_rows(name) == rows, f"changed with rows of ours: {name}"
            assert moved | set(live) == set(self.rows), f"lost or new: {(moved | set(live)) ^ set(self.rows)}"
            for id_, digest in self.rows.items():
                assert digest in kept.get(id_, set()) | {live.get(id_)}, f"{id_} is not what was stored"
            if self.target == "concelier":
                backup = database.value("SELECT to_regclass('advisory_backup_20251028') IS NOT NULL")
                assert (
                    database.value(f"SELECT count(*) FROM {'advisory_backup_20251028' if backup else 'advisory'}")
                    == 50
                )

    def leads_home(self) -> None:
        """Check that whoever types what `status` says next ends at a verified head."""
        with self.connected() as database:
            start = f"aoc-migrate status {self.target}"
            played = [each for _, each in zip(range(MOST), play(commands(database), start), strict=False)]
            said = [(c, ran.exit_code, ran.slugs("error"), ran.report["next"]) for c, ran in played]
            last, ran = played[-1]
            assert last.endswith(f"aoc-migrate verify {self.target}") and ran.exit_code == 0, said
            assert ran.report["revision"] == head(self.target) and "held" not in ran.slugs(), said

    def leads_home_from_here(self) -> None:
        """Check the same on a copy, which is gone afterwards."""
        here, self.name = self.name, self.place.create(self.name)
        try:
            self._take_away()
            self.leads_home()
        finally:
            self.place.drop(self.name)
            self.name = here

    def goes_back(self) -> None:
        """Check that base, with every row restored, is the twin, but for what 0001 keeps and our bookkeeping."""
        with self.connected() as database:
            aoc = commands(database)
            passes(aoc, "downgrade", self.target, "base")
            self.has_its_first_shape(database)
            quarantine = f"{self.table}_quarantine"
            while database.value("SELECT to_regclass(%s) IS NOT NULL", [quarantine]) and database.value(
                f"SELECT EXISTS (SELECT FROM {quarantine})"
            ):
                passes(aoc, "repair", self.target, "--restore", "--apply")
            assert dict(database.rows(f"SELECT id, {_HERE} FROM {self.table}")) == self.rows

    def has_its_first_shape(self, database: Database) -> None:
        """Check that the catalog is that of the twin, but for the column that 0001 keeps and our bookkeeping."""
        with self.connected(self.twin) as twin:
            if self.linked(database) and not self.linked(twin):
                twin.run(f"ALTER TABLE {self.table} ADD supersedes text")
            assert _shape(database) == _shape(twin)

    def close(self) -> None:
        """Drop both databases."""
        self.place.drop(self.name)
        self.place.drop(self.twin)


def _shape(database: Database) -> list[str]:
    return fingerprint(database.connection, without=KEPT)
