"""Which of the rows that break a rule can be repaired without loss, and which have to move.

A repair takes a key from the field of the envelope that repeats it, removes forbidden keys, and turns a JSON null
into an SQL NULL. If the row then satisfies all the chosen rules, it is repaired; otherwise it moves.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from aoc_migrate.contract.model import Contract
from aoc_migrate.contract.rules import TIME, Column, blank, not_finite
from aoc_migrate.database import catalog
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.spread.shape import spread_of
from aoc_migrate.inspect.row_rules import object_violations
from aoc_migrate.quarantine.work_list import Work, in_shard, linking_rows, row_constraints

RULES = (
    "blank-key",
    "null-key",
    "missing-required",
    "not-an-object",
    "forbidden-key",
    "derived-key",
    "key-too-long",
    "time-not-finite",
)


class Break(NamedTuple):
    """One way to break a rule: the slug of the audit's finding, the column, and the predicate of such rows."""

    rule: str
    column: str
    broken: str


def breaks(contract: Contract, rules: tuple[str, ...]) -> list[Break]:
    """Return every way to break one of the rules. No predicate is ever NULL."""
    return [found for found in _all_breaks(contract) if found.rule in rules]


def _all_breaks(contract: Contract) -> Iterator[Break]:
    for key in contract.keys:
        yield Break("blank-key", key, blank(key))
    for key in contract.idempotency_key:
        yield Break("null-key", key, f"{key} IS NULL")
    objects = {column.name for column in contract.objects}
    for name in contract.required:
        if name not in objects:
            yield Break("missing-required", name, f"{name} IS NULL")
    for column in contract.objects:
        check = contract.unforbidden([column])
        for slug, predicate in object_violations(contract, column).items():
            yield Break(slug, column.name, f"(NOT {check} AND coalesce({predicate}, false))")
    yield Break("key-too-long", "", contract.too_long())
    yield Break("time-not-finite", TIME, not_finite())


def repaired_columns(session: Session, contract: Contract, chosen: list[Break]) -> dict[str, str]:
    """Return the expression of the repaired value for each column that one of ``chosen`` can break."""
    types = catalog.columns(session, contract.table)
    values = {name: _mirrored(name, json, key, types[name]) for name, json, key in contract.mirrors}
    for column in contract.objects:
        rules = {found.rule for found in chosen if found.column == column.name}
        values[column.name] = _cleaned(contract, column, rules)
    broken: dict[str, list[str]] = {}
    for found in chosen:
        broken.setdefault(found.column, []).append(found.broken)
    return {
        name: f"CASE WHEN {' OR '.join(broken[name])} THEN {value} ELSE {name} END"
        for name, value in values.items()
        if name in broken and value != name
    }


def _mirrored(name: str, json: str, key: str, type_: str) -> str:
    """Return the string that the envelope repeats, if it is not blank and fits; otherwise the column."""
    longest = re.search(r"\((\d+)\)", type_)
    fits = f" AND char_length({json}->>'{key}') <= {longest[1]}" if longest else ""
    is_blank = blank(f"({json}->>'{key}')")
    usable = f"jsonb_typeof({json}->'{key}') = 'string' AND NOT {is_blank}{fits}"
    return f"CASE WHEN {usable} THEN {json}->>'{key}' ELSE {name} END"


def _cleaned(contract: Contract, column: Column, rules: set[str]) -> str:
    """Return the JSON without forbidden keys, or the column's name if no rule asks for a change."""
    name, removed = column.name, ""
    if "forbidden-key" in rules:
        exact = [f"'{key}'" for key in contract.forbidden_keys if not key.startswith(contract.forbidden_prefix)]
        removed += f" - ARRAY[{', '.join(exact)}]"
    if "derived-key" in rules:
        derived = f"starts_with(key, '{contract.forbidden_prefix}')"
        removed += f" - ARRAY(SELECT key FROM jsonb_object_keys({name}) AS key WHERE {derived})"
    null = "NULL" if "not-an-object" in rules else name
    if not removed and null == name:
        return name
    return f"CASE jsonb_typeof({name}) WHEN 'object' THEN {name}{removed} WHEN 'null' THEN {null} ELSE {name} END"


class _Predicates(NamedTuple):
    """SQL over a row ``t``.

    Predicates: does it break a rule, can it be repaired? ``repaired`` has the repaired value of each column.
    ``rows`` is a query of the broken rows as they would be if repaired, with their flags. The predicates over it:
    ``fits``, can the row be repaired, and ``refused``, would a constraint refuse it then?
    """

    chosen: list[Break]
    repaired: dict[str, str]
    broken: str
    repairable: str
    rows: str
    fits: str
    refused: str


def _predicates(session: Session, contract: Contract, rules: tuple[str, ...]) -> _Predicates:
    chosen = breaks(contract, rules)
    repaired = repaired_columns(session, contract, chosen)
    broken = " OR ".join(found.broken for found in chosen)
    names = [session.quoted(name) for name in catalog.columns(session, contract.table)]
    values = ", ".join(f"{repaired.get(name, f't.{name}')} AS {name}" for name in names)
    after, long = f"FROM (SELECT {values}) AS repaired", contract.too_long()
    flags = ", ".join(f"CASE WHEN {found.broken} THEN '{found.rule}:{found.column}' END" for found in chosen)
    return _Predicates(
        chosen=chosen,
        repaired=repaired,
        broken=broken,
        repairable=f"((SELECT NOT ({broken}) {after}) AND ({long} OR (SELECT NOT {long} {after})))",
        rows=f"SELECT {values}, array_remove(ARRAY[{flags}], NULL) AS aoc_flags, {long} AS aoc_long "
        f"FROM {session.schema[contract.table]} AS t WHERE ({_suspect(contract, chosen)}) AND ({broken})",
        fits=f"(NOT ({broken}) AND (aoc_long OR NOT {long}))",
        refused=f"NOT ({row_constraints(session, contract.table)})",
    )


def _suspect(contract: Contract, chosen: list[Break]) -> str:
    """Return a predicate of rows that may be broken, which reads each JSON column of a good row only once."""
    objects = {column.name: f"NOT {contract.unforbidden([column])}" for column in contract.objects}
    return " OR ".join(dict.fromkeys(objects.get(found.column, found.broken) for found in chosen))


def repair_work(session: Session, contract: Contract, rules: tuple[str, ...]) -> Work:
    """Return the work of repairing the rows that break ``rules``, and of moving those that cannot be repaired."""
    sql = _predicates(session, contract, rules)
    raw = session.schema[contract.table]
    tenant = in_shard(spread_of(session, contract.table), "t")
    batch = f"SELECT t.* FROM listed JOIN {raw} AS t ON t.id = listed_id WHERE {tenant} AND ({sql.broken})"
    return Work(
        command=f"repair {rule_options(rules)}",
        listed=_listed(session, contract, sql),
        moving=f"{batch} AND NOT {sql.repairable} FOR UPDATE OF t",
        repairing=f"{batch} AND {sql.repairable} FOR UPDATE OF t" if sql.repaired else "",
        repaired=sql.repaired,
    )


def rule_options(rules: tuple[str, ...]) -> str:
    """Return the rules as options of the command line."""
    return "--rule all" if rules == RULES else " ".join(f"--rule {rule}" for rule in rules)


def _broken(session: Session, contract: Contract, sql: _Predicates) -> str:
    """Return a query of (identity, link, flags, repair, refused) over broken rows; a flag is RULE:COLUMN."""
    link = contract.link if contract.link in catalog.columns(session, contract.table) else "NULL::text"
    identity = ", ".join(spread_of(session, contract.table).identity)
    return (
        f"SELECT {identity}, {link} AS link, aoc_flags AS flags, {sql.fits} AS repair, "
        f"{sql.fits} AND {sql.refused} AS refused FROM ({sql.rows}) AS repaired"
    )


def _listed(session: Session, contract: Contract, sql: _Predicates) -> str:
    """Return the query of the work list. ``kept`` is the nearest superseded row that does not move.

    The walk begins at the rows that link to one that stays, and goes back along the links: it meets each row once,
    and no cycle. It is a query of its own: Citus refuses a recursive query that reads more than one shard.
    """
    spread = spread_of(session, contract.table)
    return f"""WITH broken AS MATERIALIZED (
  {_broken(session, contract, sql)}
), going AS MATERIALIZED (SELECT id, link FROM broken WHERE NOT repair
), named AS ({linking_rows(session, contract, spread, "SELECT id FROM going")}
), ended AS (
  WITH RECURSIVE walk AS (
    SELECT g.id, g.link AS at FROM going g LEFT JOIN going x ON x.id = g.link
    WHERE g.link IS NOT NULL AND x.id IS NULL
    UNION ALL SELECT g.id, w.at FROM walk w JOIN going g ON g.link = w.id
  ) SELECT id, at FROM walk
)
SELECT {", ".join(f"b.{c}" for c in spread.identity)}, e.at AS kept, coalesce(n.links, '{{}}') AS links, b.repair,
  b.refused, (SELECT string_agg(DISTINCT split_part(flag, ':', 1), ', ') FROM unnest(b.flags) AS flag) AS reason
FROM broken b LEFT JOIN ended e ON e.id = b.id LEFT JOIN named n ON {spread.same("n", "b")}"""


def find_broken_rows(session: Session, contract: Contract, rules: tuple[str, ...], limit: int) -> Row:
    """Count the rows to repair and to move, over every row and by rule and column, and sample their ids."""
    session.say(f"reading every row of {contract.table} …", "step")
    sql = _predicates(session, contract, rules)
    broken = _broken(session, contract, sql).replace("%", "%%")  # another role's CHECK may contain one
    return session.row(
        f"""WITH broken AS MATERIALIZED ({broken}), counted AS (
  SELECT split_part(flag, ':', 1) AS rule, split_part(flag, ':', 2) AS column_, count(*) AS rows,
    count(*) FILTER (WHERE repair) AS repaired FROM broken, unnest(flags) AS flag GROUP BY flag
), sample AS (
  SELECT id, repair, flags FROM broken ORDER BY id COLLATE "C" LIMIT %s
)
SELECT (SELECT count(*) FILTER (WHERE repair) FROM broken) AS repairs,
  (SELECT count(*) FILTER (WHERE NOT repair) FROM broken) AS moves,
  (SELECT count(*) FILTER (WHERE refused) FROM broken) AS refused,
  coalesce((SELECT jsonb_agg(to_jsonb(c) ORDER BY rule, column_) FROM counted c), '[]') AS by_rule,
  coalesce((SELECT jsonb_agg(to_jsonb(s) ORDER BY id COLLATE "C") FROM sample s), '[]') AS sample""",
        (limit,),
    )


def collisions(session: Session, contract: Contract, rules: tuple[str, ...]) -> int:
    """Count the repaired rows that would have the idempotency key of another row."""
    sql, key = _predicates(session, contract, rules), contract.idempotency_key
    if not sql.repaired.keys() & set(key):
        return 0
    names, raw = ", ".join(key), session.schema[contract.table]
    same = " AND ".join(f"o.{c} = m.{c}" for c in key)
    return int(
        session.value(
            f"""WITH repaired AS MATERIALIZED (SELECT id, {names} FROM ({sql.rows}) AS repaired WHERE {sql.fits}
), twins AS (
  SELECT id FROM (SELECT id, ({names}) IS NOT NULL AND count(*) OVER (PARTITION BY {names}) > 1 AS twin
    FROM repaired) AS counted WHERE twin
), others AS (
  SELECT m.id FROM repaired AS m JOIN {raw} AS o ON {same}
  WHERE NOT EXISTS (SELECT 1 FROM repaired AS x WHERE x.id = o.id)
)
SELECT count(*) FROM (SELECT id FROM twins UNION SELECT id FROM others) AS collide"""
        )
    )
