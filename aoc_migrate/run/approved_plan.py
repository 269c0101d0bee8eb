"""The approved plan of `upgrade --plan FILE`, read and checked before anything connects."""

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aoc_migrate import __version__
from aoc_migrate.errors import Abort, refused
from aoc_migrate.report.json import SCHEMA
from aoc_migrate.revisions.graph import history, resolve

MOST_BYTES = 32 * 1024 * 1024
Catalog = Mapping[str, Mapping[str, Mapping[str, str]]]
"""By table, kind and name: the digest of each object's definition."""


@dataclass(frozen=True)
class ApprovedPlan:
    """An approved plan. ``digest`` is the SHA-256 of its file, whose ``content`` is kept as evidence.

    ``made`` and ``dropped``: the names of what its lines make or change, and of what they drop.
    """

    digest: str
    content: bytes
    system_identifier: str | None
    database: str | None
    schema: str | None
    from_revision: str | None
    to_revision: str | None
    revisions: Mapping[str, str]
    catalog: Catalog
    made: frozenset[str]
    dropped: frozenset[str]
    table_owner: str | None

    def creates(self, table: str) -> bool:
        """Return whether ``table`` was not there when the plan was made."""
        return not any(self.catalog.get(table, {}).values())


def digest(definition: Mapping[str, Any]) -> str:
    """Return the digest of an object's definition."""
    return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()[:32]


def seal(version: str, report: Mapping[str, Any]) -> str:
    """Return the digest of a plan: of the facts in its JSON, and of the database that they are about."""
    facts = {name: value for name, value in report["facts"].items() if name != "plan_digest"}
    about = [report["target"], report["server"], report["database"], report["schema"]]
    return hashlib.sha256(json.dumps([version, about, facts], sort_keys=True).encode()).hexdigest()


def read_plan(file: str, target: str, revision: str | None) -> ApprovedPlan:
    """Return the plan in ``file``, for ``target`` and, if one was typed, ``revision``.

    Raises Abort (exit 2) if the file holds no plan that may run. No message repeats what is in the file.
    """
    content = _content(file)
    report = _only_report(file, content, target)
    plan = _checked(report, hashlib.sha256(content).hexdigest(), content)
    ids = {None, *(each.id for each in history(target))}
    if plan is None or not {plan.from_revision, plan.to_revision} <= ids:
        raise _unusable(file, "is damaged", target)
    if revision is not None and resolve(target, revision, plan.from_revision) != plan.to_revision:
        raise refused(
            f"--plan {file!r} goes to {plan.to_revision or 'base'}, not to {revision}. "
            f"Leave {revision} out, or make another plan: aoc-migrate plan {target} {revision} --output plan.json"
        )
    return plan


def _content(file: str) -> bytes:
    if "://" in file:
        raise refused("--plan takes a file, not a URL.")  # which is not repeated: it may hold a password
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)  # without a writer, a FIFO would wait for one
        with os.fdopen(descriptor, "rb") as source:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _unreadable(file, "it is no regular file")
            content = source.read(MOST_BYTES + 1)
    except OSError as error:
        raise _unreadable(file, error.strerror) from None
    if len(content) > MOST_BYTES:
        raise _unreadable(file, f"it is longer than {MOST_BYTES // 1024**2} MB")
    return content


def _only_report(file: str, content: bytes, target: str) -> Mapping[str, Any]:
    """Return the report of the only target in a plan, if it is one that this version may run."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    match document:
        case {
            "command": "plan",
            "schema": int(schema),
            "versions": {"aoc_migrate": str(version)},
            "reports": list(found),
        }:
            pass
        case _:
            raise _unusable(file, "is no plan in JSON", target)
    if schema != SCHEMA or version != __version__:
        readable = version != __version__ and re.fullmatch(r"[\w.+-]{1,40}", version)
        maker = f"aoc-migrate {version}" if readable else "another version of aoc-migrate"
        raise _unusable(file, f"was made by {maker}; this is {__version__}", target)
    match found:
        case [{"target": str(other), "facts": dict(facts)} as report]:
            pass
        case [_, _, *_]:
            raise _unusable(file, f"holds the plans of {len(found)} targets; each needs its own", target)
        case _:
            raise _unusable(file, "is damaged", target)
    if other != target:
        raise _unusable(file, f"is no plan of {target}", target)
    if facts.get("direction") == "downgrade":
        raise _unusable(file, "is the plan of a downgrade", target)
    if "plan_digest" not in facts:
        reason = "does not say what it is bound to: the table was locked, or the command failed"
        raise _unusable(file, reason, target)
    if not {"server", "database", "schema"} <= report.keys() or facts["plan_digest"] != seal(version, report):
        raise _unusable(file, "was changed after it was made", target)
    return report  # type: ignore[no-any-return]


def _checked(report: Mapping[str, Any], sha256: str, content: bytes) -> ApprovedPlan | None:
    """Return the plan of a report, or None if a part of it is not what it must be."""
    match report:
        case {
            "server": {"system_identifier": str() | None as system_identifier},
            "database": str() | None as database,
            "schema": str() | None as schema,
            "facts": {
                "direction": "upgrade",
                "from_revision": str(start),
                "to_revision": str(goal),
                "plan": list(lines),
                "revisions": dict(revisions),
                "catalog": dict(catalog),
            },
        } if _names(revisions) and all(map(_is_line, lines)) and all(map(_is_part, catalog.values())):
            names = [(line["change"], name) for line in lines for name in line["objects"]]
            return ApprovedPlan(
                sha256,
                content,
                system_identifier,
                database,
                schema,
                None if start == "base" else start,
                None if goal == "base" else goal,
                revisions,
                catalog,
                frozenset(name for change, name in names if change != "-"),
                frozenset(name for change, name in names if change == "-"),
                owner if isinstance(owner := report["facts"].get("table_owner"), str) else None,
            )
    return None


def _is_line(line: object) -> bool:
    match line:
        case {"change": str(), "objects": list(names)}:
            return all(isinstance(name, str) for name in names)
    return False


def _is_part(part: object) -> bool:
    return isinstance(part, dict) and all(map(_names, part.values()))


def _names(mapping: object) -> bool:
    return isinstance(mapping, dict) and all(isinstance(value, str) for value in mapping.values())


def _unreadable(file: str, reason: str | None) -> Abort:
    return refused(f"--plan {file!r} cannot be read: {reason}.")


def _unusable(file: str, reason: str, target: str) -> Abort:
    remedy = f"Make a plan, and have it approved: aoc-migrate plan {target} --output plan.json"
    return refused(f"--plan {file!r} {reason}. {remedy}")
