"""Triggers that others attach to the raw table while a step writes to it: no batch runs them."""

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


class Triggers:
    """The triggers on the raw table whose functions are not trusted, as they were when the step began.

    TRIGGER is the only right with which a role that does not own the table can add code to it.
    """

    def __init__(self, session: Session) -> None:
        self.session, self.query = session, strangers(session.raw)
        self.known = {row["trigger"] for row in session.rows(self.query)}

    def lock(self) -> None:
        """Lock the table against new triggers in the open transaction; Abort ``foreign-code`` for a new one."""
        self.session.quietly(f"LOCK TABLE {self.session.raw} IN ROW EXCLUSIVE MODE")
        for row in self.session.quietly(self.query):
            if row["trigger"] not in self.known and not self.session.accepted.has("foreign-code", row["function"]):
                words = {"table": self.session.raw.name, "runs": f"trigger {row['name']}"}
                words |= {"role": row["role"], "owner": row["owner"]}
                accept = option("foreign-code", row["function"])
                raise Abort(finding("foreign-code", row["function"], accept=accept, **words))
