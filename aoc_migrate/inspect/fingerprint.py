"""What a schema looks like in the catalog, as entries that can be compared, digested and read."""

import json
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from aoc_migrate.database.session import Session
from aoc_migrate.database.view import DESCRIBED

Change = Literal["lacking", "added", "changed"]


class Entry(NamedTuple):
    """One object: its kind, its qualified name, and all that defines it, as JSON with sorted keys."""

    kind: str
    object: str
    definition: str


class Difference(NamedTuple):
    """An object that only one of two fingerprints has, or that has another definition in the second."""

    change: Change
    kind: str
    object: str
    before: str | None
    after: str | None

    @property
    def fields(self) -> tuple[str, ...]:
        """Which parts of the definition changed; nothing for an object that only one of the two has."""
        if self.before is None or self.after is None:
            return ()
        old, new = json.loads(self.before), json.loads(self.after)
        return tuple(name for name in sorted(old | new) if old.get(name) != new.get(name))


_SCOPE = """WITH RECURSIVE family AS (
  SELECT oid FROM pg_class WHERE %(whole)s AND relnamespace = to_regnamespace(%(schema)s)
    OR oid IN (SELECT to_regclass(name) FROM unnest(%(relations)s::text[]) AS name)
  UNION SELECT inhrelid FROM pg_inherits JOIN family ON inhparent = family.oid),
scope AS MATERIALIZED (SELECT c.*, c.oid::regclass::text AS named FROM pg_class c WHERE c.oid IN (
  SELECT oid FROM family UNION SELECT indexrelid FROM pg_index JOIN family ON family.oid = indrelid
  UNION SELECT objid FROM pg_depend JOIN family ON family.oid = refobjid AND refclassid = 'pg_class'::regclass
    WHERE classid = refclassid AND deptype IN ('a', 'i') AND refobjsubid > 0)),
parts AS MATERIALIZED (SELECT 'pg_class'::regclass AS class, oid FROM scope
  UNION ALL SELECT 'pg_attrdef'::regclass, o.oid FROM pg_attrdef o JOIN scope ON scope.oid = adrelid
  UNION ALL SELECT 'pg_constraint'::regclass, o.oid FROM pg_constraint o JOIN scope ON scope.oid = conrelid
  UNION ALL SELECT 'pg_policy'::regclass, o.oid FROM pg_policy o JOIN scope ON scope.oid = polrelid
  UNION ALL SELECT 'pg_rewrite'::regclass, o.oid FROM pg_rewrite o JOIN scope ON scope.oid = ev_class
  UNION ALL SELECT 'pg_trigger'::regclass, o.oid FROM pg_trigger o JOIN scope ON scope.oid = tgrelid
  UNION ALL SELECT 'pg_proc'::regclass, oid FROM pg_proc
    WHERE %(whole)s AND pronamespace = to_regnamespace(%(schema)s))
"""
"""The relations that are read, their own parts, and in a whole schema its functions."""


def _rights(acl: str, default: str) -> str:
    """Return SQL for the items of an ACL in a fixed order. No ACL means the same as the default one."""
    items = f"unnest(coalesce({acl}, {default})) AS item"
    return f"""'rights', (SELECT jsonb_agg(item::text ORDER BY item::text COLLATE "C") FROM {items})"""


_DEFAULT = """acldefault(CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, relowner)"""
_OPTIONS = """(SELECT jsonb_agg(item ORDER BY item COLLATE "C") FROM unnest(attoptions) AS item
          WHERE NOT item ^@ 'pg_attver=')"""  # PostgreSQL 15.20: another number for a column that was made again
_KINDS = {
    "schema": (
        "n.oid::regnamespace::text",
        f"""'owner', pg_get_userbyid(nspowner), {_rights("nspacl", "acldefault('n', nspowner)")},
        'comment', obj_description(n.oid, 'pg_namespace')""",
        "pg_namespace n WHERE %(whole)s AND n.oid = to_regnamespace(%(schema)s)",
    ),
    "relation": (
        "named",
        f"""'kind', relkind, 'persistence', relpersistence, 'owner', pg_get_userbyid(relowner),
        {_rights("relacl", _DEFAULT)},
        'options', reloptions, 'toast_options', (SELECT reloptions FROM pg_class WHERE oid = c.reltoastrelid),
        'comment', obj_description(oid, 'pg_class'), 'row_security', relrowsecurity,
        'force_row_security', relforcerowsecurity, 'replica_identity', relreplident,
        'partition_key', pg_get_partkeydef(oid), 'method', (SELECT amname FROM pg_am WHERE pg_am.oid = relam),
        'tablespace', (SELECT spcname FROM pg_tablespace s WHERE s.oid = reltablespace),
        'sequence', (SELECT to_jsonb(s) - 'seqrelid' - 'seqtypid' FROM pg_sequence s WHERE seqrelid = c.oid)""",
        "scope c",
    ),
    "column": (
        "named || '.' || quote_ident(attname)",
        f"""'type', format_type(atttypid, atttypmod), 'collation', nullif(attcollation, 0)::regcollation,
        'not_null', attnotnull, 'storage', attstorage, 'compression', nullif(attcompression, ''),
        'statistics_target', nullif(attstattarget, -1), 'options', {_OPTIONS}, {_rights("attacl", "'{}'")},
        'identity', nullif(attidentity, ''), 'generated', nullif(attgenerated, ''), 'local', attislocal,
        'default', pg_get_expr(adbin, adrelid), 'comment', col_description(attrelid, attnum)""",
        """scope c JOIN pg_attribute ON attrelid = c.oid AND attnum > 0 AND NOT attisdropped
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum""",
    ),
    "constraint": (
        "named || '.' || quote_ident(conname)",
        """'definition', pg_get_constraintdef(o.oid), 'local', conislocal,
        'inherited', coninhcount, 'comment', obj_description(o.oid, 'pg_constraint')""",
        "scope c JOIN pg_constraint o ON conrelid = c.oid",
    ),
    "index": (
        "named",
        """'definition', pg_get_indexdef(indexrelid), 'valid', indisvalid, 'ready', indisready, 'live', indislive,
        'clustered', indisclustered, 'replica_identity', indisreplident""",
        "scope c JOIN pg_index ON indexrelid = c.oid",
    ),
    "partition": (
        "named",
        """'parent', inhparent::regclass, 'detaching', inhdetachpending,
        'bound', pg_get_expr(relpartbound, c.oid)""",
        "scope c JOIN pg_inherits ON inhrelid = c.oid",
    ),
    "rule": (
        "named || '.' || quote_ident(rulename)",
        """'definition', pg_get_ruledef(r.oid), 'enabled', ev_enabled,
        'comment', obj_description(r.oid, 'pg_rewrite')""",
        "scope c JOIN pg_rewrite r ON ev_class = c.oid",
    ),
    "trigger": (
        "named || '.' || quote_ident(tgname)",
        """'definition', pg_get_triggerdef(t.oid), 'enabled', tgenabled,
        'comment', obj_description(t.oid, 'pg_trigger')""",
        "scope c JOIN pg_trigger t ON tgrelid = c.oid AND NOT tgisinternal",
    ),
    "policy": (
        "named || '.' || quote_ident(polname)",
        """'command', polcmd, 'permissive', polpermissive, 'roles', (SELECT jsonb_agg(r ORDER BY r) FROM (
          SELECT CASE role WHEN 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(role)) END AS r
          FROM unnest(polroles) AS role) AS roles), 'using', pg_get_expr(polqual, polrelid),
        'check', pg_get_expr(polwithcheck, polrelid), 'comment', obj_description(p.oid, 'pg_policy')""",
        "scope c JOIN pg_policy p ON polrelid = c.oid",
    ),
    "statistics": (
        "stxnamespace::regnamespace::text || '.' || quote_ident(stxname)",
        """'definition', pg_get_statisticsobjdef(s.oid), 'owner', pg_get_userbyid(stxowner),
        'target', nullif(stxstattarget, -1), 'comment', obj_description(s.oid, 'pg_statistic_ext')""",
        "scope c JOIN pg_statistic_ext s ON stxrelid = c.oid",
    ),
    "function": (
        "p.oid::regprocedure::text",
        f"""'definition', CASE WHEN prokind <> 'a' THEN pg_get_functiondef(p.oid) END,
        'owner', pg_get_userbyid(proowner), {_rights("proacl", "acldefault('f', proowner)")},
        'comment', obj_description(p.oid, 'pg_proc')""",
        """pg_proc p WHERE p.oid IN (SELECT oid FROM parts WHERE class = 'pg_proc'::regclass UNION
        SELECT d.refobjid FROM parts JOIN pg_depend d ON d.classid = parts.class AND d.objid = parts.oid
        WHERE d.refclassid = 'pg_proc'::regclass)""",
    ),
    "type": (
        "format_type(t.oid, NULL)",
        f"""'kind', typtype, 'owner', pg_get_userbyid(typowner), {_rights("typacl", "acldefault('T', typowner)")},
        'base', nullif(typbasetype, 0)::regtype, 'not_null', typnotnull, 'default', typdefault,
        'labels', (SELECT jsonb_agg(enumlabel ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid),
        'constraints', (SELECT jsonb_agg(pg_get_constraintdef(o.oid) ORDER BY conname) FROM pg_constraint o
          WHERE contypid = t.oid), 'comment', obj_description(t.oid, 'pg_type')""",
        """pg_type t WHERE %(whole)s AND typnamespace = to_regnamespace(%(schema)s)
        AND typtype IN ('d', 'e', 'r')""",
    ),
    "publication": (
        "quote_ident(pubname) || ' of ' || named",
        """'owner', pg_get_userbyid(pubowner), 'all_tables', puballtables, 'schema', n.oid IS NOT NULL,
        'columns', (SELECT jsonb_agg(attname ORDER BY attname) FROM pg_attribute
          WHERE attrelid = prrelid AND attnum = ANY (prattrs)), 'filter', pg_get_expr(prqual, prrelid),
        'publishes', jsonb_build_array(pubinsert, pubupdate, pubdelete, pubtruncate), 'via_root', pubviaroot""",
        """scope c CROSS JOIN pg_publication p
        LEFT JOIN pg_publication_rel r ON prpubid = p.oid AND prrelid = c.oid
        LEFT JOIN pg_publication_namespace n ON pnpubid = p.oid AND pnnspid = relnamespace
        WHERE relkind IN ('r', 'p') AND (puballtables OR r.oid IS NOT NULL OR n.oid IS NOT NULL)""",
    ),
    "default rights": (
        """quote_ident(pg_get_userbyid(defaclrole)) || ' for ' || defaclobjtype::text
        || CASE defaclnamespace WHEN 0 THEN '' ELSE ' in ' || defaclnamespace::regnamespace::text END""",
        _rights("defaclacl", "'{}'"),
        "pg_default_acl WHERE %(whole)s AND defaclnamespace IN (0, to_regnamespace(%(schema)s))",
    ),
    "dependent": (
        DESCRIBED,
        """'definition', CASE d.classid WHEN 'pg_rewrite'::regclass THEN pg_get_ruledef(d.objid)
          WHEN 'pg_constraint'::regclass THEN pg_get_constraintdef(d.objid)
          WHEN 'pg_trigger'::regclass THEN pg_get_triggerdef(d.objid) WHEN 'pg_proc'::regclass THEN
          (SELECT pg_get_functiondef(oid) FROM pg_proc WHERE oid = d.objid AND prokind <> 'a') END""",
        """pg_depend d LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
        LEFT JOIN parts ON d.classid = parts.class AND d.objid = parts.oid
        WHERE d.deptype = 'n' AND parts.oid IS NULL
        AND (d.refclassid = 'pg_class'::regclass AND d.refobjid IN (SELECT oid FROM scope)
          OR d.refclassid = 'pg_type'::regclass AND d.refobjid IN (SELECT unnest(ARRAY[t.oid, t.typarray])
            FROM pg_type t JOIN scope ON t.typrelid = scope.oid))""",
    ),
}
"""For each kind: the name of an object, its definition as pairs of keys and values, and where to find them."""

_QUERY = _SCOPE + " UNION ".join(
    f"SELECT '{kind}' AS kind, {name} AS object, "
    f"jsonb_strip_nulls(jsonb_build_object({pairs}))::text AS definition FROM {found}"
    for kind, (name, pairs, found) in _KINDS.items()
)


def fingerprint(session: Session, relations: Sequence[str] | None = None) -> tuple[Entry, ...]:
    """Return an entry for each object of the target's schema, or of ``relations`` in it that exist.

    To a relation belong its partitions, columns, sequences, indexes, constraints, triggers, rules and policies,
    the functions that these call, and how it is published. A ``dependent`` is an object elsewhere that refers to a
    relation: a view or rule that reads it, a foreign key to it, a function with its row type.

    Neither OIDs nor positions, sizes or counts are in it, so an object that was dropped and made again looks the
    same. All entries are of one snapshot.
    """
    names = None if relations is None else [str(session.schema[name]) for name in relations]
    values = {"schema": str(session.schema), "relations": names, "whole": relations is None}
    return tuple(sorted(Entry(**row) for row in session.rows(_QUERY, values)))


def differences(before: Iterable[Entry], after: Iterable[Entry]) -> list[Difference]:
    """Return what is lacking, added or changed in ``after``, by kind and object."""
    old, new = ({entry[:2]: entry.definition for entry in entries} for entries in (before, after))
    found = []
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            change: Change = "lacking" if name not in new else "added" if name not in old else "changed"
            found.append(Difference(change, *name, old.get(name), new.get(name)))
    return found
