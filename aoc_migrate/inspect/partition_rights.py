"""The rights that a migration needs on partitions, which may have another owner and another schema."""

from collections.abc import Iterator

from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.spread.partitions import FAMILY
from aoc_migrate.report.model import Finding, finding


def partition_schemas(session: Session, role: str) -> Iterator[Finding]:
    """Yield the other schemas of partitions in which ``role`` may make no index."""
    rows = session.rows(
        "SELECT name, string_agg(wanted, ', ') AS lacking FROM (SELECT DISTINCT relnamespace AS oid "
        f"FROM {FAMILY} AS family JOIN pg_class USING (oid) WHERE relispartition) AS used "
        "JOIN pg_namespace n USING (oid) CROSS JOIN quote_ident(nspname) AS name "
        "CROSS JOIN unnest('{CREATE,USAGE}'::text[]) AS wanted "
        "WHERE nspname <> %s AND NOT has_schema_privilege(n.oid, wanted) GROUP BY 1 ORDER BY 1",
        (str(session.schema[session.target.table]), session.target.schema),
    )
    for row in rows:
        remedy = f"Run: GRANT {row['lacking']} ON SCHEMA {row['name']} TO {role};"
        action = f"create indexes in schema {row['name']}"
        yield finding("privileges", row["name"], role=role, action=action, remedy=remedy)


def other_owner(session: Session, table: str) -> Row | None:
    """Return name and owner, quoted, of ``table`` or a partition of it, if we lack the owner's rights."""
    rows = session.rows(
        "SELECT oid::regclass::text AS name, quote_ident(pg_get_userbyid(relowner)) AS owner "
        f"FROM pg_class JOIN {FAMILY} AS family USING (oid) WHERE NOT pg_has_role(relowner, 'USAGE') "
        "ORDER BY relispartition, 1 LIMIT 1",
        (str(session.schema[table]),),
    )
    return rows[0] if rows else None
