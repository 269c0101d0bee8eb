"""Indexes of a partitioned table, which PostgreSQL cannot build or drop CONCURRENTLY as a whole.

Up: created ONLY on the table, built CONCURRENTLY on each partition, then attached; the index is valid once every
partition has its part (PostgreSQL 15 manual, 5.11.2.2). Each step adds what the catalog lacks next, so partitions
may come and go in between. From the first step on, PostgreSQL itself gives a new partition its index.
Down: dropped with its parts in one instant.
"""

from collections import Counter
from collections.abc import Iterable

from aoc_migrate.contract.model import Index
from aoc_migrate.database import catalog
from aoc_migrate.database.own_tables import foreign
from aoc_migrate.database.questions import index_is_ours
from aoc_migrate.database.relation import Relation, quoted
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.left_behind import TWIN, index_leftovers
from aoc_migrate.database.spread.partitions import Node, is_attached, similar, tree
from aoc_migrate.errors import Abort
from aoc_migrate.operations.index_steps import build, definition
from aoc_migrate.operations.index_twin import carry_over
from aoc_migrate.operations.index_twin import definition as twin_definition
from aoc_migrate.operations.leftovers import wait_for_build
from aoc_migrate.operations.own_parts import found_again
from aoc_migrate.operations.step import Kind, Lock, OnPartitions, Step
from aoc_migrate.report.model import StepReport, finding


def create(run: OnPartitions, table: Relation, index: Index) -> None:
    """Give a partitioned table ``index``, with a part on each partition.

    Drops what interrupted runs have left. Raises Abort ``foreign-object``, and what running a Step raises.
    """
    session, sums = run.session, _Sums(run, table, index)
    while (state := catalog.index_state(session, table.name, index)) != "valid":
        if state == "foreign":
            raise Abort(foreign(index.name))
        if state == "missing":
            run.run(_make_only(table, index, Relation(table.schema, index.name)))
        else:
            _go_on(run, index, tree(session, table.name, index), sums)
        sums.add()
    _drop_leftovers(run, table, index)


def expected(session: Session, table: Relation, index: Index) -> list[Step]:
    """Return the Steps by which `create` would give ``index`` to a partitioned table as it is now.

    Until the table has its index, the same index of a partition, which `create` would attach, is not recognized.
    """
    steps, above = [], dict[Relation | None, Relation]()
    for node in tree(session, table.name, index):
        name = node.index or node.own_index(table, index)
        if not node.index and node.leaf:
            ready = [other for other, valid in similar(session, node.table, index).items() if valid]
            if ready and name not in ready:
                name = ready[0]
            if not ready:
                steps.append(_build(node, name, definition(index, name, str(node.table), "CONCURRENTLY ")))
        elif not node.index:
            steps.append(_make_only(node.table, index, name))
        if node.parent and not node.index:
            steps.append(_attaching(node, above[node.parent], name))
        above[node.table] = name
    return steps


def drop(run: OnPartitions, table: Relation, index: Index, revision: str) -> None:
    """Drop ``index`` with its parts, unless ``revision`` found it there, or it is another one of this name.

    PostgreSQL drops attached indexes with their parent. So a partition's earlier index, which was attached, gets a
    twin first, which takes its place and its name in the same instant.
    """
    session, kept = run.session, _kept(run, table, revision)
    if (catalog.state(session, revision) or {"index_found": True})["index_found"]:
        return
    if catalog.index_state(session, table.name, index) == "foreign":
        return
    nodes = tree(session, table.name, index)
    twins = {node.index: node.own_index(table, index, TWIN) for node in nodes if node.leaf and node.index in kept}
    _drop_leftovers(run, table, index, twins.values())
    before, after = [], []
    for node in nodes:
        ours = node.own_index(table, index)
        if node.index is None and ours not in kept:
            _drop_leftover(run, node, index, ours)
        if node.index and (twin := twins.get(node.index)):
            _build_twin(run, node, index, twin)
            before.append(carry_over(node.table, node.index, twin))
            after.append(f"ALTER INDEX {twin} RENAME TO {quoted(node.index.name)}")
    name = Relation(table.schema, index.name)
    sql, needed = (*before, f"DROP INDEX IF EXISTS {name}", *after), index_is_ours(table, name, index)
    run.run(Step(Kind.DROP_INDEX_AT_ONCE, table, (index.name,), Lock.ACCESS_EXCLUSIVE, sql, needed))


def _kept(run: OnPartitions, table: Relation, revision: str) -> dict[Relation, list[str]]:
    """Return the indexes that partitions had before the upgrade, by the names that they have now."""
    return found_again(run.session, table, catalog.state(run.session, revision) or {}, "leaf_indexes")


def _go_on(run: OnPartitions, index: Index, nodes: list[Node], sums: "_Sums") -> None:
    """Give an index to tables that lack it below one that has it: a level at a time, so one query covers many."""
    above = {node.table: node.index for node in nodes}
    lacking = [node for node in nodes if node.index is None]
    for node in lacking:
        if node.parent and (hung := above.get(node.parent)):
            _take_up(run, nodes[0].table, index, node, hung)
            sums.add()
    if not lacking:
        _revalidate(run, nodes, index)


def _make_only(table: Relation, index: Index, name: Relation) -> Step:
    """Create the index of a partitioned table without those of its partitions: SHARE, for an instant."""
    sql = (definition(index, name, f"ONLY {table}"),)
    return Step(Kind.MAKE_INDEX, table, (name.name,), Lock.ACCESS_EXCLUSIVE, sql, alone=True)


def _attaching(node: Node, above: Relation, name: Relation) -> Step:
    """Attach an index: ACCESS EXCLUSIVE on it, so readers and writers of its table wait."""
    sql = (f"ALTER INDEX {above} ATTACH PARTITION {name}",)
    return Step(Kind.ATTACH_INDEX, node.table, (name.name,), Lock.ACCESS_EXCLUSIVE, sql, alone=True)


def _take_up(run: OnPartitions, root: Relation, index: Index, node: Node, above: Relation) -> None:
    """Give one table of the tree its index, and attach it to the index ``above``."""
    name = node.own_index(root, index)
    try:
        if is_attached(run.session, node):
            run.run(_attaching(node, above, _own(run, node, index, name)))
            return
    except Abort:
        if is_attached(run.session, node):
            raise
    run.session.say(f"{node.table.name} is no longer a partition of {root.name} and is left out", level="warning")
    _drop_leftover(run, node, index, name)


def _own(run: OnPartitions, node: Node, index: Index, name: Relation) -> Relation:
    """Return the name of an index of this table that can be attached; build one if necessary."""
    found = similar(run.session, node.table, index)
    if run.session.value("SELECT to_regclass(%s) IS NOT NULL", (str(name),)) and name not in found:
        raise Abort(foreign(name.name))
    if not node.leaf:
        if name not in found:
            run.run(_make_only(node.table, index, name))
        return name
    if not any(found.values()):
        wait_for_build(run.session, node.table, name)
        found = similar(run.session, node.table, index)
    ready = [other for other, valid in found.items() if valid]
    if ready and name not in ready:
        return ready[0]
    if name not in ready:
        _drop_leftover(run, node, index, name)
        run.run(_build(node, name, definition(index, name, str(node.table), "CONCURRENTLY ")))
    return name


def _build(node: Node, name: Relation, sql: str) -> Step:
    return Step(Kind.BUILD_INDEX, node.table, (name.name,), Lock.SHARE_UPDATE_EXCLUSIVE, (sql,))


def _revalidate(run: OnPartitions, nodes: list[Node], index: Index) -> None:
    """Repair an index that is invalid although every partition has its part: one of them was invalid, or is gone.

    Attaching an attached index again makes PostgreSQL check once more (PostgreSQL 15 source, tablecmds.c).
    """
    for node in nodes:
        if node.leaf and not node.valid and node.index:
            sql = (f"REINDEX INDEX CONCURRENTLY {node.index}",)
            kind, lock = Kind.REBUILD_INDEX, Lock.SHARE_UPDATE_EXCLUSIVE
            run.run(Step(kind, node.table, (node.index.name,), lock, sql))
    for above in reversed([node for node in nodes if not node.leaf and not node.valid]):
        for node in nodes:
            if node.parent == above.table and above.index and node.index:
                run.run(_attaching(node, above.index, node.index))
    if any(not node.valid for node in tree(run.session, nodes[0].table.name, index)[:1]):
        reason = "it stays invalid although every partition has its index; drop it and run the same command again"
        raise Abort(finding("step-failed", index.name, reason=reason))


def _drop_leftover(run: OnPartitions, node: Node, index: Index, name: Relation) -> None:
    """Drop an index of ours that is not attached, once no other session can be building it."""
    if node.leaf and name in similar(run.session, node.table, index):
        wait_for_build(run.session, node.table, name)
    if name not in similar(run.session, node.table, index):
        return
    if node.leaf:
        sql = (f"DROP INDEX CONCURRENTLY IF EXISTS {name}",)
        run.run(Step(Kind.DROP_INDEX, node.table, (name.name,), Lock.SHARE_UPDATE_EXCLUSIVE, sql))
    else:
        kind, lock = Kind.DROP_INDEX_AT_ONCE, Lock.ACCESS_EXCLUSIVE
        run.run(Step(kind, node.table, (name.name,), lock, (f"DROP INDEX {name}",)))


def _drop_leftovers(run: OnPartitions, table: Relation, index: Index, twins: Iterable[Relation] = ()) -> None:
    """Drop what interrupted runs have left of the indexes of partitions, but for ``twins``."""
    for partition, name in index_leftovers(run.session, table, index):
        if name not in twins:
            sql = (f"DROP INDEX CONCURRENTLY IF EXISTS {name}",)
            run.run(Step(Kind.DROP_INDEX, partition, (name.name,), Lock.SHARE_UPDATE_EXCLUSIVE, sql))


def _build_twin(run: OnPartitions, node: Node, index: Index, twin: Relation) -> None:
    if node.index and not similar(run.session, node.table, index).get(twin):
        _drop_leftover(run, node, index, twin)
        run.run(_build(node, twin, twin_definition(run.session, node.index, twin)))


class _Sums:
    """One step of the report for all builds and one for all attachments: there may be thousands of each."""

    def __init__(self, run: OnPartitions, table: Relation, index: Index) -> None:
        self.run, self.table, self.index = run, table, index
        self.noted, self.begun, self.seen = run.session.steps, len(run.session.steps), len(run.ran)
        self.sums: dict[Kind, StepReport] = {}
        self.times: Counter[Kind] = Counter()

    def add(self) -> None:
        """Add the work since the last call."""
        for steps, noted in self.run.ran[self.seen :]:
            kind = steps[0].kind
            known = self.sums.setdefault(kind, StepReport("", 0))
            self.times[kind] += 1
            where = f"{self.index.name} ON {self.table.name} and its partitions"
            known.statement = f"{kind.name_in_reports} {where} ({self.times[kind]} times)"
            known.attempts += noted.attempts
            if noted.total_ms is not None:
                known.total_ms = round((known.total_ms or 0) + noted.total_ms, 1)
            if noted.held_ms is not None:
                known.waited_ms = max(known.waited_ms or 0, noted.waited_ms or 0)
                known.held_ms = max(known.held_ms or 0, noted.held_ms)
            known.phase = noted.phase
            if noted.wal_bytes is not None and noted.growth_bytes is not None:
                known.wal_bytes = (known.wal_bytes or 0) + noted.wal_bytes
                known.growth_bytes = (known.growth_bytes or 0) + noted.growth_bytes
            if kind is Kind.BUILD_INDEX:
                whole = build(self.table, Relation(self.table.schema, self.index.name), self.index)
                known.estimated_ms = self.run.session.estimate((whole,))
        self.seen = len(self.run.ran)
        self.noted[self.begun :] = self.sums.values()
