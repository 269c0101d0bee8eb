"""Functions and operators in our schema that are named like PostgreSQL's own and may capture calls."""

from collections.abc import Iterator

from aoc_migrate.database.relation import literal
from aoc_migrate.database.session import Session
from aoc_migrate.database.trust import owner_of, trusted
from aoc_migrate.report.model import Finding, finding

SHOWN = 12
_PLANTED = """
SELECT kind, name, quote_ident(pg_get_userbyid(owner)) AS role FROM (
  SELECT 'ROUTINE' AS kind, p.oid::regprocedure::text AS name, p.proowner AS owner FROM pg_proc p
  WHERE p.pronamespace = to_regnamespace({schema}) AND EXISTS (SELECT FROM pg_proc c
    WHERE c.pronamespace = 'pg_catalog'::regnamespace AND c.proname = p.proname)
  UNION ALL SELECT 'OPERATOR', o.oid::regoperator::text, o.oprowner FROM pg_operator o
  WHERE o.oprnamespace = to_regnamespace({schema}) AND EXISTS (SELECT FROM pg_operator c
    WHERE c.oprnamespace = 'pg_catalog'::regnamespace AND c.oprname = o.oprname)
) AS named WHERE NOT {trusted} ORDER BY 3, 1, 2
"""
_CREATORS = """
SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
FROM pg_namespace n CROSS JOIN aclexplode(n.nspacl) AS a WHERE n.oid = to_regnamespace({schema})
  AND a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner AND (a.grantee = 0 OR NOT {trusted}) ORDER BY 1
"""


def planted_objects(session: Session) -> Iterator[Finding]:
    """Yield ``planted-object`` if roles that are not trusted own such functions or operators.

    Our own statements are qualified and never run them; those of the services may.
    """
    schema = literal(str(session.schema))
    query = _PLANTED.format(schema=schema, trusted=trusted("owner", owner_of(session.raw)))
    found = session.rows(query)
    if found:
        creators = session.rows(
            _CREATORS.format(schema=schema, trusted=trusted("a.grantee", owner_of(session.raw)))
        )
        roles = ", ".join(row["grantee"] for row in creators)
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        yield finding(
            "planted-object",
            session.target.schema,
            count=len(found),
            names=", ".join(f"{row['name']} of {row['role']}" for row in found[:SHOWN]) + more,
            drop=" ".join(f"DROP {row['kind']} {row['name']};" for row in found[:SHOWN]),
            revoke=f" And: REVOKE CREATE ON SCHEMA {session.schema} FROM {roles};" if roles else "",
        )
