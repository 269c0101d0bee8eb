"""What a schema looks like in PostgreSQL's catalog, as text that can be compared and read."""

from typing import Any

import psycopg

_HERE = "relnamespace = to_regnamespace(quote_ident(%(schema)s)) AND relname !~ %(without)s"
_PARTS = {
    "relation": f"""SELECT relname, relkind, relpersistence, pg_get_userbyid(relowner), relacl::text,
        reloptions::text, obj_description(oid, 'pg_class'), relrowsecurity, relforcerowsecurity, relreplident,
        (SELECT spcname FROM pg_tablespace WHERE pg_tablespace.oid = reltablespace)
        FROM pg_class WHERE {_HERE}""",
    "column": f"""SELECT relname, attname, format_type(atttypid, atttypmod), attcollation::regcollation,
        attnotnull, attstorage, nullif(attstattarget, -1), attoptions::text, attacl::text, attidentity,
        attgenerated, pg_get_expr(adbin, adrelid), col_description(attrelid, attnum)
        FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE attnum > 0 AND NOT attisdropped AND {_HERE}""",
    "constraint": f"""SELECT relname, conname, contype, convalidated, condeferrable, conislocal, coninhcount,
        connoinherit, pg_get_constraintdef(o.oid), obj_description(o.oid, 'pg_constraint')
        FROM pg_constraint o JOIN pg_class c ON c.oid = conrelid WHERE {_HERE}""",
    "index": f"""SELECT relname, pg_get_indexdef(indexrelid), indisunique, indisvalid, indisready, indislive,
        indisclustered, indisreplident, obj_description(indexrelid, 'pg_class')
        FROM pg_index JOIN pg_class c ON c.oid = indrelid WHERE {_HERE}""",
    "partition": f"""SELECT relname, inhparent::regclass, inhdetachpending, pg_get_expr(relpartbound, c.oid)
        FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE {_HERE}""",
    "rule": f"""SELECT relname, rulename, ev_enabled, pg_get_ruledef(r.oid)
        FROM pg_rewrite r JOIN pg_class c ON c.oid = ev_class WHERE {_HERE}""",
    "trigger": f"""SELECT relname, tgname, tgenabled, pg_get_triggerdef(t.oid)
        FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid WHERE NOT tgisinternal AND {_HERE}""",
    "policy": f"""SELECT relname, polname, polcmd, polpermissive, polroles::regrole[]::text,
        pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)
        FROM pg_policy JOIN pg_class c ON c.oid = polrelid WHERE {_HERE}""",
    "function": """SELECT proname, pg_get_userbyid(proowner), proacl::text, pg_get_functiondef(oid),
        obj_description(oid, 'pg_proc') FROM pg_proc
        WHERE pronamespace = to_regnamespace(quote_ident(%(schema)s)) AND prokind <> 'a'""",
    "publication": """SELECT pubname, tablename FROM pg_publication_tables
        WHERE schemaname = %(schema)s""",
    "default privileges": """SELECT pg_get_userbyid(defaclrole), defaclobjtype, defaclacl::text FROM pg_default_acl
        WHERE defaclnamespace IN (0, to_regnamespace(quote_ident(%(schema)s)))""",
}


def fingerprint(connection: psycopg.Connection[Any], schema: str = "public", without: str = "^aoc_") -> list[str]:
    """Return one line for each object of ``schema``; relations whose names match ``without`` are left out.

    Neither OIDs nor positions are in it, so an object that was dropped and made again looks the same.
    """
    lines = []
    for part, query in _PARTS.items():
        rows = connection.execute(query, {"schema": schema, "without": without}).fetchall()
        lines += [f"{part}: {' | '.join(map(str, row))}" for row in rows]
    return sorted(lines)
