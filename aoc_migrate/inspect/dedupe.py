"""Duplicates before they are moved: which row of each group stays, what names the others, do they differ?"""

from collections.abc import Iterator

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.catalog import DEDUPE
from aoc_migrate.database.session import Row, Session
from aoc_migrate.inspect.duplicates import duplicate_digests
from aoc_migrate.report.model import Finding, make

KEEP = ("earliest", "latest")
INSERT, DELETE = 4, 8  # tgtype (PostgreSQL source, catalog/pg_trigger.h)
_OWN = ("id", "retrieved_at", "created_at")  # what two fetches of one document may differ in


def surplus(session: Session, contract: Contract, keep: str) -> str:
    """Return a query of (id, kept, differs, links): every row of a duplicate group but the one that stays.

    The earliest (or latest) ``retrieved_at`` stays, of several the first id by its bytes. ``differs`` are the
    names of the columns in which the two rows differ, ``links`` the ids of rows that name it as superseded.
    """
    table, key = contract.table, ", ".join(contract.idempotency_key)
    order = 'retrieved_at, id COLLATE "C"' if keep == "earliest" else 'retrieved_at DESC, id COLLATE "C"'
    digest, candidates = duplicate_digests(contract)
    named = "SELECT NULL AS id, NULL::text[] AS links WHERE false"
    if contract.link in catalog.columns(session, table):
        named = (
            f'SELECT {contract.link} AS id, array_agg(id ORDER BY id COLLATE "C") AS links FROM {table} '
            f"WHERE {contract.link} IN (SELECT id FROM ranked WHERE id <> kept) GROUP BY {contract.link}"
        )
    return f"""WITH {candidates}, ranked AS MATERIALIZED (
  SELECT id, first_value(id) OVER (PARTITION BY {key} ORDER BY {order}) AS kept
  FROM {table} WHERE {digest} IN (SELECT digest FROM candidates)
), named AS ({named})
SELECT r.id, r.kept, {_differing(session, contract)} AS differs, coalesce(n.links, '{{}}') AS links
FROM ranked r JOIN {table} t ON t.id = r.id JOIN {table} k ON k.id = r.kept LEFT JOIN named n ON n.id = r.id
WHERE r.id <> r.kept"""


def _differing(session: Session, contract: Contract) -> str:
    """Return the names of the columns in which t and k differ, but for when a row was fetched, stored, linked.

    Nor does a number count that PostgreSQL gives each row.
    """
    ignored = session.value(
        "SELECT string_agg(quote_literal(name), ', ') FROM (SELECT unnest(%s::text[]) AS name UNION SELECT "
        "attname FROM pg_attribute WHERE attrelid = to_regclass(quote_ident(%s)) AND attidentity <> '') AS n",
        ([*_OWN, contract.link], contract.table),
    )
    value = "CASE {0}.key WHEN 'upstream' THEN {0}.value #- '{{fetched_at}}' ELSE {0}.value END"
    return (
        "ARRAY(SELECT a.key FROM jsonb_each(to_jsonb(t)) AS a JOIN jsonb_each(to_jsonb(k)) AS b ON b.key = a.key "
        f"WHERE a.key NOT IN ({ignored}) AND {value.format('a')} IS DISTINCT FROM {value.format('b')} "
        "ORDER BY a.key)"
    )


def look(session: Session, contract: Contract, keep: str, limit: int) -> tuple[Row, list[Row]]:
    """Return counts over all groups, and a sample: what stays, what moves, and in which columns they differ."""
    session.say("looking for duplicates …")
    found = session.rows(
        f"""SELECT kept AS stays, array_agg(id ORDER BY id COLLATE "C") AS moves,
  sum(cardinality(links))::int AS links, string_agg(DISTINCT array_to_string(differs, ', '), '; ') AS differs,
  count(*) OVER () AS groups, (sum(count(*)) OVER ())::bigint AS surplus,
  (sum(count(*) FILTER (WHERE differs <> '{{}}')) OVER ())::bigint AS different
FROM ({surplus(session, contract, keep)}) AS s GROUP BY kept ORDER BY count(*) DESC, kept COLLATE "C" LIMIT %s""",
        (limit,),
    )
    counts = {name: found[0][name] if found else 0 for name in ("groups", "surplus", "different")}
    shown = [{name: row[name] for name in ("stays", "moves", "links", "differs")} for row in found]
    return counts, shown


def hindrances(session: Session, contract: Contract, event: int, allowed: tuple[str, ...]) -> Iterator[Finding]:
    """Yield the triggers that moving rows would fire (``event``: INSERT or DELETE)."""
    rows = session.rows(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass(quote_ident(%s)) AND NOT tgisinternal "
        "AND tgenabled IN ('O', 'A') AND tgtype & %s = %s ORDER BY tgname",
        (contract.table, event, event),
    )
    for row in rows:
        if row["tgname"] not in allowed:
            yield make("move-trigger", contract.table, trigger=row["tgname"])


def references(session: Session, contract: Contract) -> Iterator[Finding]:
    """Yield the foreign keys through which other rows name one that would be moved. The work list must stand."""
    keys = session.rows(
        "SELECT c.conname AS name, c.conrelid::regclass::text AS source, quote_ident(s.attname) AS column_, "
        "t.attname AS named FROM pg_constraint c "
        "JOIN pg_attribute s ON s.attrelid = c.conrelid AND s.attnum = c.conkey[1] "
        "JOIN pg_attribute t ON t.attrelid = c.confrelid AND t.attnum = c.confkey[1] "
        "WHERE c.contype = 'f' AND c.confrelid = to_regclass(quote_ident(%s)) "
        "AND NOT (c.conrelid = c.confrelid AND s.attname = %s) ORDER BY 1",  # links are set anew as rows move
        (contract.table, contract.link),
    )
    for key in keys:
        rows = session.value(
            f"SELECT count(*) FROM {key['source']} AS s JOIN {contract.table} AS t "
            f"ON t.{session.quoted(key['named'])} = s.{key['column_']} JOIN {DEDUPE} AS d ON d.id = t.id"
        )
        if rows:
            yield make("move-referenced", contract.table, key=key["name"], source=key["source"], rows=rows)
