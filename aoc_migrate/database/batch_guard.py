"""What a batch locks and checks before it writes, in two statements, because a step has many batches.

Our tables must still be ours, and no batch may run a trigger that others attach to the raw table meanwhile.
"""

import psycopg

from aoc_migrate.database.own_tables import flaws, foreign
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Session
from aoc_migrate.database.trust import owner_of, trusted
from aoc_migrate.errors import Abort
from aoc_migrate.report.accepted import option
from aoc_migrate.report.model import finding

_STRANGERS = """SELECT g.oid::bigint AS trigger, quote_ident(g.tgname) AS name,
  p.oid::regprocedure::text AS function,
  quote_ident(pg_get_userbyid(p.proowner)) AS role, quote_ident(pg_get_userbyid({owner})) AS owner
FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid
WHERE NOT g.tgisinternal AND g.tgenabled IN ('O', 'A') AND NOT {trusted}
  AND to_regclass({raw}) IN (g.tgrelid, pg_partition_root(g.tgrelid))"""


def strangers(raw: Relation) -> str:
    """Return a query of the triggers whose function is not trusted: (trigger, name, function, role, owner)."""
    owner = owner_of(raw)
    return _STRANGERS.format(owner=owner, trusted=trusted("p.proowner", owner), raw=raw.literal)


class BatchGuard:
    """Guards the tables of ours that a step has ``written`` to, and the raw table.

    It knows the triggers whose functions are not trusted, as they were when the step began. TRIGGER is the only
    right with which a role that does not own the table can add code to it.
    """

    def __init__(self, session: Session, written: tuple[str, ...]) -> None:
        self.session, self.written = session, written
        found = strangers(session.raw)
        self.known = {row["trigger"] for row in session.rows(found)}
        listed = ", ".join(str(session.schema[name]) for name in (*written, session.raw.name))
        self._lock = f"LOCK TABLE {listed} IN ROW EXCLUSIVE MODE"
        self._check = f"""SELECT name, flaw, remedy, NULL::bigint AS trigger,
  NULL AS function, NULL AS role, NULL AS owner FROM ({flaws(session.schema, session.raw, written)}) AS ours
UNION ALL SELECT name, NULL, NULL, trigger, function, role, owner FROM ({found}) AS theirs"""

    def lock(self) -> None:
        """Lock the tables in the open transaction against new triggers and changes of ours, and check them.

        Raises Abort ``foreign-object`` for a table that is not ours, ``foreign-code`` for a new trigger.
        """
        try:
            self.session.quietly(self._lock)
        except psycopg.errors.WrongObjectType:
            raise Abort(foreign(self.written[0], "it is not an ordinary table")) from None
        for row in self.session.quietly(self._check):
            if row["flaw"]:
                raise Abort(foreign(row["name"], row["flaw"], row["remedy"]))
            if row["trigger"] not in self.known and not self.session.accepted.has("foreign-code", row["function"]):
                words = {"table": self.session.raw.name, "runs": f"trigger {row['name']}"}
                words |= {"role": row["role"], "owner": row["owner"]}
                accept = option("foreign-code", row["function"])
                raise Abort(finding("foreign-code", row["function"], accept=accept, **words))
