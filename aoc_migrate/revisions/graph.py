"""The history of each target, read from the source of its revisions without importing them.

A history is linear. What a revision puts in place (``part``), whether `constraints --remove` undoes it
(``removable``), which contract it ``completes`` and which ``swap`` it makes are plain assignments in its file.
"""

import ast
import importlib.util
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from aoc_migrate import packaged_folder
from aoc_migrate.contract.model import Contract, Part, ViewSwap
from aoc_migrate.errors import refused


@dataclass(frozen=True)
class Revision:
    """One revision of a history; ``down`` is the revision before it, None for the first.

    ``title`` is the first line of its docstring, ``part`` what it puts in place, ``completes`` the contract that
    is in force from here on, if any.
    """

    id: str
    down: str | None
    title: str
    part: Part
    removable: bool
    completes: Contract | None
    swap: ViewSwap | None
    path: Path

    @property
    def module(self) -> ModuleType:
        """The module of the revision, with ``upgrade`` and ``downgrade``; loaded on first use."""
        return _load(self.path)


def migrations_folder() -> Path:
    """Return the folder with the revisions."""
    return packaged_folder("migrations")


def config_path() -> Path:
    """Return the path of alembic.ini, next to the folder with the revisions.

    Raises Abort (exit 2) where Alembic could not read it.
    """
    path = migrations_folder().with_name("alembic.ini")
    if "%" in str(path):  # Alembic does not escape the folder that it puts in place of %(here)s
        raise refused(f"Alembic cannot read {path}: the path has a %. Install aoc-migrate in another folder.")
    return path


@cache
def history(target: str) -> tuple[Revision, ...]:
    """Return the revisions of ``target`` from the first to the head."""
    revisions = [_read(path) for path in sorted((migrations_folder() / target).glob("[a-z]*.py"))]
    by_down = {revision.down: revision for revision in revisions}
    line: list[Revision] = []
    while (following := by_down.get(line[-1].id if line else None)) is not None:
        line.append(following)
    if len(line) != len(revisions):
        raise refused(f"The history of {target} is not linear: check the down_revision of its files.")
    return tuple(line)


def _read(path: Path) -> Revision:
    """Read a revision from the assignments in its file: constants, imported names and their attributes."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError):
        raise refused(f"{path} is not a valid revision: it is not Python.") from None
    origin = {a.name: node.module for node in tree.body if isinstance(node, ast.ImportFrom) for a in node.names}
    assigned = {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}

    def value(node: ast.expr | None) -> Any:
        match node:
            case None:
                return None
            case ast.Name(name):
                return getattr(importlib.import_module(str(origin[name])), name)
            case ast.Attribute(of, name):
                return getattr(value(of), name)
        return ast.literal_eval(node)

    names = ("revision", "down_revision", "part", "removable", "completes", "swap")
    try:
        id_, down, part, removable, completes, swap = (value(assigned.get(name)) for name in names)
        if not isinstance(part, Part):
            raise ValueError(part)
        title = (ast.get_docstring(tree) or "").splitlines()[0]
    except (KeyError, IndexError, AttributeError, ValueError):
        raise refused(f"{path} is not a valid revision: see migrations/README.md.") from None
    return Revision(id_, down, title, part, bool(removable), completes, swap, path)


@cache
def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"aoc_migrate_revisions.{path.stem}", path)
    if spec is None or spec.loader is None:
        raise refused(f"{path} cannot be loaded as a revision.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def head(target: str) -> str:
    """Return the id of the head."""
    return history(target)[-1].id


def position(target: str, revision: str | None) -> int:
    """Return how many revisions are applied at ``revision``; 0 at base."""
    ids = [None, *(r.id for r in history(target))]
    return ids.index(revision)


def applied(target: str, revision: str | None) -> tuple[Revision, ...]:
    """Return the revisions up to and including ``revision``."""
    return history(target)[: position(target, revision)]


def parts(target: str, revision: str | None) -> set[Part]:
    """Return the parts that should be in place at ``revision``."""
    return {r.part for r in applied(target, revision)}


def contract_at(target: str, revision: str | None) -> Contract:
    """Return the contract in force at ``revision``: the last completed one, or else the first to be completed."""
    contracts = [r.completes for r in history(target) if r.completes]
    completed = [r.completes for r in applied(target, revision) if r.completes]
    return completed[-1] if completed else contracts[0]


@dataclass(frozen=True)
class SwapRevision:
    """A view swap and the id of the revision that makes it."""

    swap: ViewSwap
    revision: str


def swap_of(target: str) -> SwapRevision | None:
    """Return the view swap of ``target`` and its revision, or None if it has no view swap."""
    return next((SwapRevision(r.swap, r.id) for r in history(target) if r.swap), None)


def altered_tables(target: str) -> list[str]:
    """Return the names of the tables that the revisions of ``target`` alter."""
    found = swap_of(target)
    return [contract_at(target, None).table, *([found.swap.view, found.swap.backup] if found else [])]


def revision_of(target: str, part: Part) -> str:
    """Return the id of the revision that puts ``part`` in place."""
    return next(r.id for r in history(target) if r.part is part)


def resolve(target: str, revision: str, current: str | None) -> str | None:
    """Return the absolute revision that ``revision`` means at ``current``; None is base.

    ``revision`` is an id or its unique beginning, ``head``, ``base``, ``TARGET@head``, or relative (``+1``,
    ``-1``). Raises Abort (exit 2) for anything else.
    """
    revision = revision.removeprefix(f"{target}@")
    if revision in ("head", "heads"):
        return head(target)
    if revision == "base":
        return None
    if re.fullmatch(r"[+-][0-9]{1,6}", revision):
        return _relative(target, revision, current)
    ids = [r.id for r in history(target) if r.id.startswith(revision)]
    if len(ids) != 1:
        known = ", ".join(r.id for r in history(target))
        raise refused(
            f"{revision!r} is neither a target nor a revision of {target}. Targets are concelier and excititor; "
            f"revisions are {known}, head and base."
        )
    return ids[0]


def _relative(target: str, revision: str, current: str | None) -> str | None:
    ids = [None, *(r.id for r in history(target))]
    index = ids.index(current) + int(revision)
    if int(revision) == 0 or not 0 <= index < len(ids):
        at = current or "base"
        raise refused(f"{target} is at {at}; {revision} leads to no revision.")
    return ids[index]
