"""Whom we trust: the owner of the raw table, whoever may act as that owner, and superusers.

The migrating role is one of them: it may alter the raw table. What anybody else owns is data, never code.
"""

from aoc_migrate.database.relation import Relation


def trusted(role: str, owner: str) -> str:
    """Return a condition: ``role`` may do what ``owner``, the owner of the raw table, may; both are oids in SQL.

    A superuser has the rights of every role (PostgreSQL 15 manual, 9.26, pg_has_role).
    """
    return f"pg_has_role({role}, {owner}, 'USAGE')"


def owner_of(table: Relation) -> str:
    """Return the owner of ``table`` as an oid in SQL; while there is no such table, this role."""
    return (
        f"coalesce((SELECT relowner FROM pg_class WHERE oid = to_regclass({table.literal})), "
        "(SELECT oid FROM pg_roles WHERE rolname = current_user))"
    )
