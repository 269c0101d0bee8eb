"""The types of the quarantine's columns: a row must keep each of its values there, and bring it back.

A column of the quarantine has the raw table's type without its modifier, such as ``numeric`` for ``numeric(5,2)``:
so whatever modifier the raw table gets, nothing is rounded or cut.
"""

from collections.abc import Iterator, Sequence

from aoc_migrate.contract.model import Contract
from aoc_migrate.database.own_tables import own_tables_locked
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Session
from aoc_migrate.quarantine.contents import has_quarantine
from aoc_migrate.report.model import Finding, finding

# -1, not NULL: format_type then returns "bit" with its quotes, because bit without them is bit(1).
_TYPES = (
    "SELECT quote_ident(attname) AS name, format_type(atttypid, -1) AS unlimited, "
    "format_type(atttypid, atttypmod) AS type "
    "FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
)


def unlimited(session: Session, table: Relation) -> dict[str, str]:
    """Return the columns of a table, quoted, each with its type without a modifier."""
    return {row["name"]: row["unlimited"] for row in session.rows(_TYPES, (str(table),))}


def changed_types(session: Session, contract: Contract) -> Iterator[Finding]:
    """Yield ``type-changed`` for each column whose type is not the one that the quarantine keeps."""
    if not has_quarantine(session, contract):
        return
    raw, quarantine = session.schema[contract.table], session.schema[contract.quarantine]
    kept = unlimited(session, quarantine)
    for name, type_ in unlimited(session, raw).items():
        if kept.get(name, type_) != type_:
            remedy = (
                "Give both one type that holds the values of both. To change the quarantine's: "
                f"ALTER TABLE {quarantine} ALTER {name} TYPE {type_};"
            )
            reason = "a value could change on its way there or back"
            words = {"column": name, "type": type_, "kept": kept[name], "reason": reason, "remedy": remedy}
            yield finding("type-changed", contract.table, **words)


def narrower_types(session: Session, contract: Contract, chosen: str, stored: Sequence[str]) -> Iterator[Finding]:
    """Yield ``type-changed`` where a column of ``stored`` got a modifier that does not fit the rows ``chosen``."""
    raw, quarantine = session.schema[contract.table], session.schema[contract.quarantine]
    kept = {row["name"]: row for row in session.rows(_TYPES, (str(quarantine),))}
    types = {row["name"]: row for row in session.rows(_TYPES, (str(raw),)) if row["name"] in stored}
    other = {
        name: row["type"]
        for name, row in types.items()
        if kept[name]["type"] != row["type"] and kept[name]["unlimited"] == row["unlimited"]
    }
    if not other:
        return
    changes = ", ".join(_changed(name, f"{name}::{type_}::{kept[name]['type']}") for name, type_ in other.items())
    with own_tables_locked(session, contract.quarantine):
        rows = session.value(f"SELECT ARRAY[{changes}] FROM {quarantine} WHERE {chosen}")
    for (name, type_), changed in zip(other.items(), rows, strict=True):
        if changed:
            reason = f"{changed:,} of the rows in quarantine would change on the way back"
            wide = kept[name]["type"]
            remedy = f"Give the column a type that holds them: ALTER TABLE {raw} ALTER {name} TYPE {wide};"
            words = {"column": name, "type": type_, "kept": wide, "reason": reason, "remedy": remedy}
            yield finding("type-changed", contract.table, **words)


def _changed(value: str, back: str) -> str:
    """Return the SQL count of values that are not the same ``back``.

    As text, 1.5 is not 1.50; as jsonb, a padded char(2) is not the same char(5).
    """
    return f"count(*) FILTER (WHERE {value}::text <> {back}::text AND to_jsonb({value}) <> to_jsonb({back}))"
