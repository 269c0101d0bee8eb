"""Whether a downgrade restored what was there before the upgrade: every object, and every row."""

import json

from aoc_migrate.database.bookkeeping import BOOKKEEPING, REHEARSAL
from aoc_migrate.database.session import Session
from aoc_migrate.inspect.fingerprint import Difference, differences, fingerprint
from aoc_migrate.inspect.row_digest import digest, rows_that_differ
from aoc_migrate.report.model import Finding, finding
from aoc_migrate.revisions.graph import contract_at
from aoc_migrate.run.rehearsal_record import Record

NAMED = 5  # differences in the text of the finding


def compare(session: Session, record: Record, limit: int) -> tuple[list[Finding], tuple[str, ...]]:
    """Return the finding ``way-back-differs`` if anything differs from the record, and what is kept on purpose."""
    found = differences(record.entries, fingerprint(session))
    bookkeeping = fingerprint(session, [*BOOKKEEPING, REHEARSAL])
    ours = {entry[:2] for entry in bookkeeping}
    link = contract_at(session.target.name, record.revision).link
    added = [d for d in found if d.change == "added" and d.kind == "column" and _column(d) == link]
    kept = [f"table {entry.object}" for entry in bookkeeping if _is_kept_table(session, *entry)]
    kept += [f"column {difference.object}" for difference in added]
    sample: list[dict[str, object]] = [
        _words(d) for d in found if (d.kind, d.object) not in ours and d not in added
    ]
    for table, known in record.digests.items():
        name = session.value("SELECT coalesce(to_regclass(%s)::text, %s)", (str(session.schema[table]), table))
        changes = rows_that_differ(known, digest(session, table, known))
        sample += [
            {"object": f"rows of {name}", "change": change, "at_least": count} for change, count in changes.items()
        ]
    if not sample:
        return [], tuple(kept)
    database = session.value("SELECT current_database()")
    words = {"listed": _listed(sample), "count": len(sample), "sample": sample[:limit]}
    return [finding("way-back-differs", database, **words)], tuple(kept)


def _listed(sample: list[dict[str, object]]) -> str:
    """Return the first differences in words, and how many more there are."""
    words = [
        f"{each['object']} {each['change']}" + (f" (at least {each['at_least']:,})" if "at_least" in each else "")
        for each in sample[:NAMED]
    ]
    more = [f"and {len(sample) - NAMED:,} more"] if len(sample) > NAMED else []
    return "; ".join([*words, *more])


def _column(difference: Difference) -> str:
    return difference.object.rpartition(".")[2]


def _is_kept_table(session: Session, kind: str, name: str, definition: str) -> bool:
    """Return whether an entry of our bookkeeping is a table that stays, and not one of its parts."""
    return kind == "relation" and json.loads(definition)["kind"] == "r" and not name.endswith(f".{REHEARSAL}")


def _words(difference: Difference) -> dict[str, object]:
    parts = f": {', '.join(difference.fields)}" if difference.fields else ""
    return {"object": f"{difference.kind} {difference.object}", "change": f"{difference.change}{parts}"}
