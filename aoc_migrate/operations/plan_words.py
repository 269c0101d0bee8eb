"""The words of a plan: what each kind of Step does to which objects, as short as it is true."""

import re

from aoc_migrate.operations.step import Kind

MADE, CHANGED, DROPPED = "+", "~", "-"

_WORDS = {
    Kind.CREATE_BOOKKEEPING: (MADE, "{TABLE}"),
    Kind.DROP_BOOKKEEPING: (DROPPED, "{TABLE}"),
    Kind.RECORD: (CHANGED, "record {}"),
    Kind.FORGET: (CHANGED, "forget {}"),
    Kind.SHARE: (MADE, "SELECT on {TABLE}"),
    Kind.CREATE_TABLE: (MADE, "{TABLE}"),
    Kind.ADD_COLUMN: (MADE, "{COLUMN}"),
    Kind.CREATE_FUNCTION: (MADE, "{FUNCTION}"),
    Kind.GRANT_EXECUTE: (MADE, "EXECUTE on {FUNCTION}"),
    Kind.DROP_FUNCTION: (DROPPED, "{FUNCTION}"),
    Kind.ADD_CHECK: (MADE, "{CHECK} NOT VALID"),
    Kind.INVALIDATE: (CHANGED, "{CHECK} NOT VALID again"),
    Kind.DROP_CHECK: (DROPPED, "{CHECK}"),
    Kind.VALIDATE: (CHANGED, "VALIDATE {CHECK}"),
    Kind.VALIDATE_NOT_NULL: (CHANGED, "VALIDATE {NOT NULL}"),
    Kind.SET_NOT_NULL: (CHANGED, "SET {NOT NULL}"),
    Kind.CHANGE_INHERITANCE: (CHANGED, "ALTER {NOT NULL}"),
    Kind.INVALIDATE_NOT_NULL: (CHANGED, "{NOT NULL} NOT VALID again"),
    Kind.DROP_NOT_NULL: (DROPPED, "{NOT NULL}"),
    Kind.BUILD_INDEX: (MADE, "{INDEX}"),
    Kind.BUILD_UNIQUE_INDEX: (MADE, "{UNIQUE INDEX}"),
    Kind.MAKE_INDEX: (MADE, "{INDEX} without parts"),
    Kind.ATTACH_INDEX: (CHANGED, "ATTACH {INDEX}"),
    Kind.REBUILD_INDEX: (CHANGED, "REINDEX {INDEX}"),
    Kind.DROP_INDEX: (DROPPED, "{INDEX}"),
    Kind.DROP_INDEX_AT_ONCE: (DROPPED, "{INDEX}"),
    Kind.LINK: (CHANGED, "link rows of {}"),
    Kind.SET_BACK: (CHANGED, "set back links of {}"),
    Kind.SWAP: (CHANGED, "RENAME {TABLE}, CREATE VIEW"),
    Kind.SWAP_BACK: (CHANGED, "DROP {VIEW}, RENAME TABLE"),
    Kind.MAKE_READ_ONLY: (MADE, "{TRIGGER}"),
    Kind.USE_INVOKER: (CHANGED, "ALTER {VIEW}"),
    Kind.CHANGE_POLICIES: (CHANGED, "policies of {}"),
    Kind.STOCK: (CHANGED, "statement {}"),
}


def change(kind: Kind) -> str:
    """Return whether Steps of a kind make (``+``), change (``~``) or drop (``-``) something."""
    return _WORDS[kind][0]


def words(kind: Kind, names: tuple[str, ...]) -> str:
    """Return what Steps of a kind do to the objects ``names``; several are counted, not named."""

    def filled(noun: re.Match[str]) -> str:
        if len(names) > 1 and noun[1]:
            return f"{len(names)} {noun[1]}{'es' if noun[1].endswith('X') else 's'}"
        return f"{noun[1]} {', '.join(names)}".strip()

    return re.sub(r"\{(.*)\}", filled, _WORDS[kind][1]).strip()
