"""What a batch locks and checks before it writes, in two statements, because a step has many batches.

Our tables must still be ours, and no batch may run a trigger that others attach to the raw table meanwhile, or be
checked by a foreign key to or from a table of others that they add.
"""

import psycopg

from aoc_migrate.database.attached_code import FOREIGN
from aoc_migrate.database.key_owners import key_owners
from aoc_migrate.database.own_tables import flaws, foreign
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Session
from aoc_migrate.database.trust import owner_of, trusted
from aoc_migrate.errors import Abort
from aoc_migrate.report.accepted import option
from aoc_migrate.report.model import finding

_STRANGERS = """SELECT g.oid::bigint AS trigger, quote_ident(g.tgname) AS name,
  p.oid::regprocedure::text AS function, quote_ident(pg_get_userbyid(p.proowner)) AS role
FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid
WHERE NOT g.tgisinternal AND g.tgenabled IN ('O', 'A') AND NOT {trusted}
  AND to_regclass({raw}) IN (g.tgrelid, pg_partition_root(g.tgrelid))"""


def strangers(raw: Relation) -> str:
    """Return a query of the triggers whose function is not trusted: (trigger, name, function, role)."""
    return _STRANGERS.format(trusted=trusted("p.proowner", owner_of(raw)), raw=raw.literal)


class BatchGuard:
    """Guards the tables of ours that a step has ``written`` to, and the raw table.

    It knows the triggers and foreign keys of others, as they were when the step began. TRIGGER and REFERENCES are
    the only rights with which a role that does not own the table can add code to it.
    """

    def __init__(self, session: Session, written: tuple[str, ...]) -> None:
        self.session, self.written = session, written
        found = f"""SELECT '{FOREIGN}' AS slug, trigger::text AS known, 'trigger ' || name AS runs, function, role
FROM ({strangers(session.raw)}) AS t
UNION ALL SELECT slug, function, array_to_string(names, ', '), function, quote_ident(owner)
FROM ({key_owners(session.raw)}) AS k"""
        self.known = {row["known"] for row in session.rows(found)}
        listed = ", ".join(str(session.schema[name]) for name in (*written, session.raw.name))
        self._lock = f"LOCK TABLE {listed} IN ROW EXCLUSIVE MODE"
        self._check = f"""SELECT name, flaw, remedy, NULL AS slug, NULL AS known, NULL AS runs, NULL AS function,
  NULL AS role, NULL AS owner FROM ({flaws(session.schema, session.raw, written)}) AS ours
UNION ALL SELECT NULL, NULL, NULL, *, quote_ident(pg_get_userbyid({owner_of(session.raw)}))
FROM ({found}) AS theirs"""

    def lock(self) -> None:
        """Lock the tables in the open transaction against new triggers, keys and changes of ours, and check them.

        Raises Abort ``foreign-object`` for a table that is not ours, ``foreign-code`` for a new trigger,
        ``foreign-key-owner`` for a new key.
        """
        try:
            self.session.quietly(self._lock)
        except psycopg.errors.WrongObjectType:
            raise Abort(foreign(self.written[0], "it is not an ordinary table")) from None
        for row in self.session.quietly(self._check):
            if row["flaw"]:
                raise Abort(foreign(row["name"], row["flaw"], row["remedy"]))
            if row["known"] not in self.known and not self.session.accepted.has(row["slug"], row["function"]):
                words = {name: row[name] for name in ("runs", "role", "owner")}
                words |= {"table": self.session.raw.name, "accept": option(row["slug"], row["function"])}
                raise Abort(finding(row["slug"], row["function"], **words))
