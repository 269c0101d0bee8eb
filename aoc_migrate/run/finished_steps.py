"""What the steps of an approved plan leave in the catalog: no difference when the plan runs again.

An object that the plan makes may be there if it is the contract's, and one that it drops may be gone. Who made it
does not matter, because the result is what was approved. This is asked only once a run of this plan has begun.
"""

from collections.abc import Iterator
from typing import Any

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.partitions import is_partitioned, similar, tree
from aoc_migrate.run.approved_plan import ApprovedPlan, digest

Definition = dict[str, Any]
Objects = dict[str, dict[str, Definition]]
"""Definitions by kind and name, as `inspect.fingerprint` has them."""


class FinishedSteps:
    """Recognizes what the steps of a plan have left of the raw table's objects as they are ``now``.

    The names of a contract need no quotes.
    """

    def __init__(self, session: Session, contract: Contract, plan: ApprovedPlan, now: Objects) -> None:
        self.contract, self.made, self.dropped, self.now = contract, plan.made, plan.dropped, now
        self.schema = session.value("SELECT to_regnamespace(%s)::text", (str(session.schema),))
        self.table = f"{self.schema}.{contract.table}"
        self.columns = {column.name for column in contract.columns} & plan.made
        self.created = {self.table, f"{self.table}_pkey"} if plan.creates(contract.table) else set()
        self.checks = {name: self._rule(f"{self.table}.{name}") for name in self._checks(session)}
        self.indexes = set(self._indexes(session))
        self.whole = self.indexes | self.created | set(self._functions(session))

    def explain(self, kind: str, name: str, planned: str | None) -> bool:
        """Return whether finished steps are why an object is not as ``planned`` (a digest; None: absent)."""
        found = self.now.get(kind, {}).get(name)
        table, _, part = name.rpartition(".")
        match kind:
            case "constraint":
                return part in self.dropped if found is None else self._is_constraint(name, part, found)
            case "index" if found is None:
                return name in {f"{self.schema}.{index}" for index in self.dropped}
            case "partition" if found:
                return planned is None and found["parent"] in self.indexes
            case "column" if found:
                return self._is_column(table, part, found, planned)
            case "function" | "relation" | "index":
                return found is not None and name in self.whole
        return False

    def _is_constraint(self, name: str, part: str, found: Definition) -> bool:
        """Return whether it is a CHECK of the contract or its copy on a partition, NOT NULL, or a new key."""
        if part in self.checks:
            return self._rule(name) == self.checks[part]
        if name == f"{self.table}.{self.contract.table}_pkey" and self.created:
            return bool(found["definition"] == "PRIMARY KEY (id)")
        columns = self.columns | ({"id"} if self.created else set())
        return found["definition"] in {f"NOT NULL {column}" for column in columns}  # it says where it is NOT VALID

    def _is_column(self, table: str, column: str, found: Definition, planned: str | None) -> bool:
        """Return whether it is the added link, of the new table, or NOT NULL now and else as planned."""
        if planned is None:
            new = table in self.created and column in {each.name for each in self.contract.columns}
            return new or (column == self.contract.link and column in self.made and _is_plain_text(found))
        return column in self.columns and found["not_null"] and digest(found | {"not_null": False}) == planned

    def _rule(self, name: str) -> str:
        """Return the definition of a constraint, whether it is proven or not."""
        return str(self.now["constraint"][name]["definition"]).removesuffix(" NOT VALID")

    def _checks(self, session: Session) -> Iterator[str]:
        """Yield the names of the plan's CHECKs that are there as the contract has them."""
        found = catalog.constraints(session, self.contract.table)
        for check in self.contract.checks():
            if check.name in self.made and check.name in found and found[check.name].is_(check):
                yield check.name

    def _functions(self, session: Session) -> Iterator[str]:
        for check in self.contract.checks():
            if (
                check.function in self.made
                and catalog.check_function(session, self.contract.table, check) == "ours"
            ):
                yield session.value("SELECT to_regprocedure(%s)::text", (catalog.function_name(session, check),))

    def _indexes(self, session: Session) -> Iterator[str]:
        """Yield the names of the plan's indexes that are there as the contract has them, finished or not."""
        for index in (self.contract.idempotency_index(), self.contract.chain_index()):
            if index.name not in self.made or catalog.index_state(session, self.contract.table, index) not in (
                "valid",
                "invalid",
            ):
                continue
            yield f"{self.schema}.{index.name}"
            if not is_partitioned(session, self.contract.table):
                continue
            raw = session.schema[self.contract.table]
            for node in tree(session, self.contract.table, index):
                name = node.own_index(raw, index)
                if node.index == name or name in similar(session, node.table, index):
                    yield session.value("SELECT to_regclass(%s)::text", (str(name),))


def _is_plain_text(column: Definition) -> bool:
    """Return whether a column is as ADD COLUMN … text makes it."""
    more = column.keys() & {"default", "generated", "identity"}
    return not (more or column["not_null"]) and (column["type"], column["collation"]) == ("text", '"default"')
