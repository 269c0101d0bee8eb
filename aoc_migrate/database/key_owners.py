"""Foreign keys between the raw table and tables of untrusted roles.

PostgreSQL checks a key with a query of the other table, as its owner but in our session. Planning it runs
immutable functions in the indexes of that table; its owner can add one at any time, and it could set our
search_path.
"""

from aoc_migrate.database.events import DELETE, INSERT, LINKING, UPDATE, linked
from aoc_migrate.database.majors import enforced
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.spread.partitions import family
from aoc_migrate.database.trust import owner_of, trusted

KEY_OWNER = "foreign-key-owner"


def of_family(raw: Relation, events: int | str, link: str) -> str:
    """Return a query of (slug, function, schema, owner, names, events): tables that our writes would query.

    They belong to untrusted roles; ``function`` is the table, ``names`` are its keys to or from ``family``.
    """
    return f"""SELECT '{KEY_OWNER}' AS slug, c.oid::regclass::text AS function, n.nspname::text AS schema,
  quote_ident(pg_get_userbyid(c.relowner)) AS owner, array_agg(DISTINCT k.name ORDER BY k.name) AS names,
  bit_or(k.events & ({events})) AS events
FROM (
  SELECT conrelid, 'foreign key ' || quote_ident(conname) || ' of ' || conrelid::regclass, {DELETE | UPDATE}
    | CASE WHEN {linked(link, "confrelid", "confkey")} THEN {LINKING} ELSE 0 END
  FROM pg_constraint k WHERE contype = 'f' AND {enforced("k")} AND confrelid IN (SELECT oid FROM family)
  UNION ALL SELECT confrelid, 'foreign key ' || quote_ident(conname), {INSERT | UPDATE}
    | CASE WHEN {linked(link, "conrelid", "conkey")} THEN {LINKING} ELSE 0 END
  FROM pg_constraint k WHERE contype = 'f' AND {enforced("k")} AND conrelid IN (SELECT oid FROM family)
) AS k (other, name, events) JOIN pg_class c ON c.oid = k.other JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN family ON family.oid = k.other
WHERE k.events & ({events}) <> 0 AND family.oid IS NULL AND NOT {trusted("c.relowner", owner_of(raw))}
GROUP BY c.oid, 3, 4"""


def key_owners(raw: Relation) -> str:
    """Return the same, whatever is written, for ``raw`` and its partitions."""
    return f"WITH RECURSIVE {family(raw.literal)}\n{of_family(raw, INSERT | DELETE | UPDATE, 'NULL')}"
