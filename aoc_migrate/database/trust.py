"""Trusted roles: the owner of the raw table, every role that may act as that owner, and superusers.

The migrating role is one of them: it may alter the raw table. Objects of any other role are data, never code.
"""

from aoc_migrate.database.relation import Relation


def trusted(role: str, owner: str) -> str:
    """Return the condition that ``role`` has the rights of ``owner``, the raw table's; both are oids in SQL.

    A superuser has the rights of every role (PostgreSQL 15 manual, 9.26, pg_has_role).
    """
    return f"pg_has_role({role}, {owner}, 'USAGE')"


def owner_of(table: Relation) -> str:
    """Return the owner of ``table`` as an oid in SQL; this role where the table does not exist."""
    return (
        f"coalesce((SELECT relowner FROM pg_class WHERE oid = to_regclass({table.literal})), "
        "(SELECT oid FROM pg_roles WHERE rolname = current_user))"
    )
