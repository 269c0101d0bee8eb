"""The words of a plan: what each kind of Step does to which objects, as briefly as possible."""

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
    Kind.VALIDATE_NOT_NULL: (CHANGED, "VALIDATE NOT NULL on {COLUMN}"),
    Kind.SET_NOT_NULL: (CHANGED, "SET NOT NULL on {COLUMN}"),
    Kind.CHANGE_INHERITANCE: (CHANGED, "ALTER NOT NULL on {COLUMN}"),
    Kind.INVALIDATE_NOT_NULL: (CHANGED, "NOT NULL NOT VALID again on {COLUMN}"),
    Kind.DROP_NOT_NULL: (DROPPED, "NOT NULL on {COLUMN}"),
    Kind.BUILD_INDEX: (MADE, "{INDEX}"),
    Kind.BUILD_UNIQUE_INDEX: (MADE, "{UNIQUE INDEX}"),
    Kind.MAKE_INDEX: (MADE, "{INDEX} ON ONLY"),
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
_SEVERAL = {
    "CHECK": "CHECKs",
    "COLUMN": "columns",
    "FUNCTION": "functions",
    "INDEX": "indexes",
    "TABLE": "tables",
    "TRIGGER": "triggers",
    "UNIQUE INDEX": "unique indexes",
    "VIEW": "views",
}


def change(kind: Kind) -> str:
    """Return whether Steps of a kind make (``+``), change (``~``) or drop (``-``) something."""
    return _WORDS[kind][0]


def words(kind: Kind, names: tuple[str, ...]) -> str:
    """Return what Steps of a kind do to the objects ``names``; several are counted, not named."""

    def filled(noun: re.Match[str]) -> str:
        if len(names) > 1 and noun[1]:
            return f"{len(names)} {_SEVERAL[noun[1]]}"
        return f"{noun[1]} {', '.join(names)}".strip()

    return re.sub(r"\{(.*)\}", filled, _WORDS[kind][1]).strip()
