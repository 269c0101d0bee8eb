"""Indexes of a partitioned table, which PostgreSQL cannot build or drop CONCURRENTLY as a whole.

Up: made ONLY on the table, built CONCURRENTLY on each partition, then attached; the index is valid once every
partition has its part (PostgreSQL 15 manual, 5.11.2.2). Each step is the next thing that the catalog lacks, so
partitions that come or go meanwhile are taken up or left out. From the first step on, PostgreSQL itself gives a
new partition its index. Down: dropped with its parts in one instant.
"""

from collections import Counter

from aoc_migrate.contract.model import Index
from aoc_migrate.database import catalog
from aoc_migrate.database.ddl.build import build
from aoc_migrate.database.ddl.leftovers import wait_for_build
from aoc_migrate.database.ddl.printing import migration
from aoc_migrate.database.ddl.run import strong, weak
from aoc_migrate.database.ours import foreign
from aoc_migrate.database.partitions import Node, is_attached, similar, tree
from aoc_migrate.database.relation import Relation, quoted
from aoc_migrate.database.session import Row, Session
from aoc_migrate.report.model import Stopped, make

TWIN = "_kept"


def leaf_indexes(table: Relation) -> str:
    """Return an expression for (schema, name) of the indexes that partitions have by themselves.

    A downgrade keeps those that were attached.
    """
    return (
        "(SELECT coalesce(jsonb_agg(jsonb_build_array(n.nspname, x.relname) ORDER BY x.oid), '[]') "
        f"FROM pg_partition_tree({table.literal}) t JOIN pg_index i ON i.indrelid = t.relid "
        "JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace "
        "WHERE t.isleaf AND i.indisvalid AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = i.indexrelid))"
    )


def create_on_partitions(session: Session, table: str, index: Index, kept: list[Relation]) -> None:
    """Make ``index`` stand on a partitioned table. Raises Stopped as `create_index` does.

    ``kept``: the indexes that the partitions had before us; an interrupted downgrade may have left twins of them.
    """
    sums, raw = _Sums(session, table, index), session.schema[table]
    while (state := catalog.index_state(session, table, index)) != "valid":
        if state == "foreign":
            raise Stopped(foreign(index.name))
        if state == "missing":
            _make_only(raw, index, session.schema[index.name])
        else:
            _go_on(session, index, tree(session, table, index), sums)
        sums.add()
    for node in tree(session, table, index) if kept else []:
        _drop_leftover(session, node, index, node.own_index(raw, index, TWIN))


def _go_on(session: Session, index: Index, nodes: list[Node], sums: "_Sums") -> None:
    """Take up what lacks its index below one that has it: a level at a time, so that each look serves for many."""
    above = {node.table: node.index for node in nodes}
    lacking = [node for node in nodes if node.index is None]
    for node in lacking:
        if node.parent and (hung := above.get(node.parent)):
            _take_up(session, nodes[0].table, index, node, hung)
            sums.add()
    if not lacking:
        _revalidate(session, nodes, index)


def drop_on_partitions(session: Session, table: str, index: Index, kept: list[Relation]) -> None:
    """Drop ``index`` and what we built below it; an index in ``kept`` that was attached is there again afterwards.

    PostgreSQL drops attached indexes with the one they hang on. So a twin is built first, and gets the name.
    """
    nodes, raw = tree(session, table, index), session.schema[table]
    renames = []
    for node in nodes:
        ours, twin = (node.own_index(raw, index, more) for more in ("", TWIN))
        if node.index is None and ours not in kept:
            _drop_leftover(session, node, index, ours)
        if node.leaf and node.index in kept:
            _build_twin(session, node, index, twin)
            renames.append(f"ALTER INDEX {twin} RENAME TO {quoted(node.index.name)}")
        else:
            _drop_leftover(session, node, index, twin)
    if catalog.kind(session, index.name) is not None:
        strong(raw, [f"DROP INDEX IF EXISTS {session.schema[index.name]}", *renames])


def _definition(index: Index, name: Relation, table: str, how: str = "") -> str:
    listed = ", ".join(index.columns)
    return f"CREATE {'UNIQUE ' if index.unique else ''}INDEX {how}{quoted(name.name)} ON {table} ({listed})"


def _make_only(table: Relation, index: Index, name: Relation) -> None:
    """Make the index of a partitioned table without those of its partitions: SHARE on it, for an instant."""
    create = _definition(index, name, f"ONLY {table}")
    strong(table, [], alone=create, label=f"CREATE INDEX {name.name} ON ONLY {table.name}")


def _take_up(session: Session, root: Relation, index: Index, node: Node, above: Relation) -> None:
    """Give one table of the tree its index, and attach it to the index ``above``."""
    name = node.own_index(root, index)
    try:
        if is_attached(session, node):
            _attach(node, above, _own(session, node, index, name))
            return
    except Stopped:
        if is_attached(session, node):
            raise
    session.say(f"{node.table.name} is no partition of {root.name} any more and is left out")
    _drop_leftover(session, node, index, name)


def _own(session: Session, node: Node, index: Index, name: Relation) -> Relation:
    """Return the name of an index of this table that can be attached; built where there is none."""
    found = similar(session, node.table, index)
    if session.value("SELECT to_regclass(%s) IS NOT NULL", (str(name),)) and name not in found:
        raise Stopped(foreign(name.name))
    if not node.leaf:
        if name not in found:
            _make_only(node.table, index, name)
        return name
    if not any(found.values()):
        with migration().autocommit_block():
            wait_for_build(session, node.table, name)
        found = similar(session, node.table, index)
    ready = [other for other, valid in found.items() if valid]
    if ready and name not in ready:
        return ready[0]
    if name not in ready:
        _drop_leftover(session, node, index, name)
        build(session, node.table, name, _definition(index, name, str(node.table), "CONCURRENTLY "))
    return name


def _attach(node: Node, above: Relation, name: Relation) -> None:
    """Attach an index: ACCESS EXCLUSIVE on it, which whoever reads or writes its table waits for."""
    strong(node.table, [], alone=f"ALTER INDEX {above} ATTACH PARTITION {name}", label=f"attach {name.name}")


def _revalidate(session: Session, nodes: list[Node], index: Index) -> None:
    """Mend an index that is invalid although every partition has its part: one of them was, or went away.

    Attaching once more what is attached makes PostgreSQL look again (PostgreSQL 15 source, tablecmds.c).
    """
    for node in nodes:
        if node.leaf and not node.valid:
            weak(node.table, f"REINDEX INDEX CONCURRENTLY {node.index}", patience=0)
    for above in reversed([node for node in nodes if not node.leaf and not node.valid]):
        for node in nodes:
            if node.parent == above.table and above.index and node.index:
                _attach(node, above.index, node.index)
    if any(not node.valid for node in tree(session, nodes[0].table.name, index)[:1]):
        reason = "it stays invalid although every partition has its index; drop it and run the same command again"
        raise Stopped(make("step-failed", index.name, reason=reason))


def _drop_leftover(session: Session, node: Node, index: Index, name: Relation) -> None:
    """Drop an index of ours that hangs on nothing, once nobody else can be building it."""
    if node.leaf and name in similar(session, node.table, index):
        with migration().autocommit_block():
            wait_for_build(session, node.table, name)
    if name not in similar(session, node.table, index):
        return
    if node.leaf:
        weak(node.table, f"DROP INDEX CONCURRENTLY {name}")
    else:
        strong(node.table, [f"DROP INDEX {name}"])


def _build_twin(session: Session, node: Node, index: Index, twin: Relation) -> None:
    if similar(session, node.table, index).get(twin):
        return
    _drop_leftover(session, node, index, twin)
    row = session.row(
        "SELECT pg_get_indexdef(oid) AS definition, quote_ident(relname) AS name FROM pg_class "
        "WHERE oid = to_regclass(%s)",
        (str(node.index),),
    )
    new = f" INDEX CONCURRENTLY {quoted(twin.name)} ON "
    build(session, node.table, twin, row["definition"].replace(f" INDEX {row['name']} ON ", new, 1))


class _Sums:
    """One step for all builds and one for all attachments of the session's: there may be thousands of each."""

    def __init__(self, session: Session, table: str, index: Index) -> None:
        self.steps, self.begun = session.steps, len(session.steps)
        self.where = f"{index.name} on {table} and its partitions"
        self.sums: dict[str, Row] = {}
        self.times: Counter[str] = Counter()

    def add(self) -> None:
        """Add what was done since the last time."""
        for step in self.steps[self.begun + len(self.sums) :]:
            verb = str(step["statement"]).split(maxsplit=1)[0]
            known = self.sums.setdefault(verb, {"statement": "", "attempts": 0})
            self.times[verb] += 1
            known["statement"] = f"{verb} {self.where} ({self.times[verb]} times)"
            for key, value in step.items():
                if key in ("attempts", "total_ms"):
                    known[key] = round(known.get(key, 0) + value, 1)
                elif key in ("waited_ms", "held_ms"):
                    known[key] = max(known.get(key, 0), value)
        self.steps[self.begun :] = self.sums.values()
