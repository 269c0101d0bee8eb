"""The types of the quarantine's columns: a row must keep each of its values there, and bring it back.

A column of the quarantine has the raw table's type without its modifier, such as ``numeric`` for ``numeric(5,2)``:
so whatever modifier the raw table gets, nothing is rounded or cut.
"""

from collections.abc import Iterator, Sequence

import psycopg

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
                f"Give {name} of {raw} and of {quarantine} one type, which holds the values of both: an ALTER to "
                "a narrower one would round or cut the originals."
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
    for name, type_ in other.items():
        wide = kept[name]["type"]
        query = f"SELECT {_changed(name, f'{name}::{type_}::{wide}')} FROM {quarantine} WHERE {chosen}"
        try:
            with own_tables_locked(session, contract.quarantine):
                changed = session.value(query)
        except psycopg.DataError:  # the cast itself refuses a value
            changed = "some"
        if changed:
            reason = f"{changed} of the rows in quarantine would change on the way back"
            remedy = f"Give the column a type that holds them: ALTER TABLE {raw} ALTER {name} TYPE {wide};"
            words = {"column": name, "type": type_, "kept": wide, "reason": reason, "remedy": remedy}
            yield finding("type-changed", contract.table, **words)


def required_columns(session: Session, contract: Contract, stored: Sequence[str]) -> Iterator[Finding]:
    """Yield ``column-required`` for each column that must have a value, and has none in quarantine."""
    raw = session.schema[contract.table]
    rows = session.rows(
        "SELECT quote_ident(attname) AS name FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 "
        "AND NOT attisdropped AND attnotnull AND NOT atthasdef AND attidentity = '' ORDER BY attnum",
        (str(raw),),
    )
    for name in (row["name"] for row in rows if row["name"] not in stored):
        yield finding("column-required", contract.table, column=name, raw=raw)


def _changed(value: str, back: str) -> str:
    """Return the SQL count of values that are not the same ``back``.

    As text, 1.5 is not 1.50; as jsonb, a padded char(2) is not the same char(5).
    """
    return f"count(*) FILTER (WHERE {value}::text <> {back}::text AND to_jsonb({value}) <> to_jsonb({back}))"
