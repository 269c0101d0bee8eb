"""Audit of the rows: does each satisfy the contract?

One scan counts the rows that break each rule. If there are any, a second scan counts the ways in which they break
it, and takes samples.
"""

from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from aoc_migrate.contract.model import Contract
from aoc_migrate.contract.rules import KEY_BYTES, TIME, Check, Column, blank, not_finite, without_harmless
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.table_scan import read
from aoc_migrate.report.model import Finding, finding

KEYS_SHOWN = 12
_HOLDS = {
    "missing-required": "required columns have a value",
    "blank-key": "keys are not blank",
    "key-too-long": "keys fit in an index",
    "time-not-finite": "times are finite",
    "not-an-object": "optional documents are NULL or objects",
    "forbidden-key": "no forbidden key",
    "derived-key": "no derived key",
    "case-variant-key": "no forbidden key in another spelling",
    "content-hash-format": "content_hash is a SHA-256 digest",
    "envelope-mismatch": "columns agree with the JSON fields that they repeat",
}
"""What holds of a row without a violation."""

_WELL_FORMED_HASH = (
    "octet_length(content_hash) = 71 AND starts_with(content_hash COLLATE \"C\", 'sha256:') "
    "AND substr(content_hash, 8) COLLATE \"C\" !~ '[^0-9a-f]'"
)


@dataclass(frozen=True)
class Violation:
    """One way to break a rule: its finding, the predicate of such rows, and the keys to name, as an SQL array."""

    slug: str
    column: str
    where: str
    keys: str = "NULL::text[]"


def audit_rows(
    session: Session,
    contract: Contract,
    checks: list[Check],
    required: list[str],
    limit: int,
) -> Generator[Finding, None, int | None]:
    """Yield the violations of ``checks`` that are not proven yet and of ``required`` columns that are nullable.

    ``limit`` caps the sample of each finding; counts cover every row. Return the number of rows, if they are read.
    """
    rules = row_rules(contract, checks, required)
    if not rules:
        return None
    query = row_scan(rules, str(session.schema[contract.table]))
    (counts,) = read(session, f"reading every row of {contract.table}", query, whole="row rules")
    broken = [rule for n, rule in enumerate(rules) if counts[f"rule_{n}"]]
    yield from violations_of(session, contract, rules, broken, counts["rows"], limit)
    return int(counts["rows"])


def violations_of(
    session: Session,
    contract: Contract,
    rules: dict[str, list[Violation]],
    broken: list[str],
    rows: int,
    limit: int,
) -> Iterator[Finding]:
    """Yield the violations of those ``rules`` that are ``broken``, and note what holds of how many ``rows``."""
    rows_of = Counter[str]()
    if broken:
        violations = [violation for rule in broken for violation in rules[rule]]
        doing = f"examining rows of {contract.table} that break a rule"
        query = _violation_scan(broken, violations, str(session.schema[contract.table]))
        for row in read(session, doing, query, (limit,), whole="rows that break a rule"):
            violation = violations[row["n"] - 1]
            rows_of[violation.slug] += row["rows"]
            yield _finding(session, contract, violation, row)
    for slug in dict.fromkeys(violation.slug for of_rule in rules.values() for violation in of_rule):
        session.checked(_HOLDS[slug], rows, "rows", rows_of[slug])


def row_scan(rules: dict[str, list[Violation]], source: str) -> str:
    """Return the query that counts, in one scan, the rows that break each rule."""
    counted = ", ".join(f"count(*) FILTER (WHERE {rule}) AS rule_{n}" for n, rule in enumerate(rules))
    return f"SELECT count(*) AS rows, {counted} FROM {source}"


def _violation_scan(rules: list[str], violations: list[Violation], source: str) -> str:
    """Return the query of (n, rows, keys, sample) for each violation found, the first of which has ``n`` 1.

    Its one parameter caps the samples. Over VALUES, Citus would refuse the EXISTS in a predicate.
    """
    listed = ", ".join(violation.where for violation in violations)
    keys = " ".join(f"WHEN {n} THEN {violation.keys}" for n, violation in enumerate(violations, 1))
    return f"""WITH broken AS MATERIALIZED (
  SELECT kind.n, id, CASE kind.n {keys} END AS keys
  FROM {source} CROSS JOIN LATERAL unnest(ARRAY[{listed}]) WITH ORDINALITY AS kind (broken, n)
  WHERE ({" OR ".join(rules)}) AND kind.broken
)
SELECT n, count(*) AS rows, ARRAY(
  SELECT DISTINCT key FROM broken AS b, unnest(b.keys) AS key WHERE b.n = broken.n ORDER BY key LIMIT {KEYS_SHOWN}
) AS keys, (SELECT jsonb_agg(jsonb_strip_nulls(to_jsonb(s))) FROM (
  SELECT id, keys FROM broken AS b WHERE b.n = broken.n ORDER BY id COLLATE "C" LIMIT %s) AS s
) AS sample FROM broken GROUP BY n ORDER BY n"""


def _finding(session: Session, contract: Contract, violation: Violation, found: Row) -> Finding:
    table, column = contract.table, violation.column
    values: dict[str, Any] = {}
    if violation.slug == "envelope-mismatch":
        values["field"] = next(f"{json}.{key}" for name, json, key in contract.mirrors if name == column)
    return finding(
        violation.slug,
        f"{table}.{column}" if column else table,
        column=column,
        target=session.target.name,
        count=found["rows"],
        rows=found["rows"],
        keys=", ".join(found["keys"]),
        limit=KEY_BYTES,
        statement=session.pasteable(f"SELECT id FROM {session.schema[table]} WHERE {violation.where} ORDER BY id"),
        sample=found["sample"],
        **values,
    )


def row_rules(contract: Contract, checks: list[Check], required: list[str]) -> dict[str, list[Violation]]:
    """Return the violations that each predicate of broken rows can find."""
    objects = {column.name for column in contract.objects}
    judged = {column for check in checks for column in check.columns if column in objects}
    rules = {
        f"{column} IS NULL": [Violation("missing-required", column, f"{column} IS NULL")]
        for column in required
        if column not in judged  # the CHECKs on these find NULLs as well
    }
    rules |= {f"NOT ({check.predicate})": _violations(contract, check) for check in checks}
    return rules | {violation.where: [violation] for violation in _warnings(contract, checks)}


def _violations(contract: Contract, check: Check) -> list[Violation]:
    """Return the ways in which rows can break a CHECK."""
    if check == contract.keys_check():
        return [
            *(Violation("blank-key", key, blank(key)) for key in contract.keys),
            Violation("key-too-long", "", contract.too_long()),
            Violation("time-not-finite", TIME, not_finite()),
        ]
    return [
        Violation(
            slug,
            column.name,
            f"NOT {contract.unforbidden([column])} AND {where}",
            _keys(contract, slug, column.name),
        )
        for column in contract.objects
        if column.name in check.columns
        for slug, where in object_violations(contract, column).items()
    ]


def _keys(contract: Contract, slug: str, column: str) -> str:
    """Return the keys of an object that the finding names, as an SQL array; NULL if it names none."""
    if slug not in ("forbidden-key", "derived-key", "case-variant-key"):
        return "NULL::text[]"
    matching = _matching(contract, slug)
    return f"ARRAY(SELECT key FROM jsonb_object_keys({column}) AS key WHERE {matching} ORDER BY key)"


def object_violations(contract: Contract, column: Column) -> dict[str, str]:
    """Return slug and predicate of each way in which a row can break the rule of a JSONB column."""
    found = {}
    if column.required:
        found["missing-required"] = f"coalesce(jsonb_typeof({column.name}) <> 'object', true)"
    else:
        found["not-an-object"] = f"jsonb_typeof({column.name}) <> 'object'"
    for slug in ("forbidden-key", "derived-key"):
        found[slug] = _has_key(column.name, _matching(contract, slug))
    return found


def _matching(contract: Contract, slug: str) -> str:
    """Return a predicate over ``key``: is it forbidden, derived, or a variant in another spelling?"""
    exact = ", ".join(f"'{k}'" for k in contract.forbidden_keys)
    derived = f"starts_with(key, '{contract.forbidden_prefix}')"
    if slug == "derived-key":
        return derived
    if slug == "forbidden-key":
        return f"(key IN ({exact}) AND NOT {derived})"
    names, prefix = _variants(contract)
    return f"(NOT {derived} AND key NOT IN ({exact}) AND (key ~* '{names}' OR key ~ '{prefix}'))"


def _variants(contract: Contract) -> tuple[str, str]:
    """Return two regular expressions: the names in any case, and the prefix in camel, kebab or upper case."""
    names = "|".join(k.replace("_", "[-_]?") for k in contract.forbidden_keys)
    word = contract.forbidden_prefix.rstrip("_")
    return f"^({names})$", f"^({word}|{word.capitalize()}|{word.upper()})[-_A-Z]"


def _has_variant(contract: Contract, column: Column) -> str:
    """Return the predicate for a variant key. Like the CHECK's, it is cheap because harmless keys go first."""
    names, prefix = _variants(contract)
    exact = " || ".join(f'@.key == "{k}"' for k in contract.forbidden_keys)
    return (
        f"coalesce(jsonb_path_exists({without_harmless(column)}, 'strict $.keyvalue() ? ("
        f'(@.key like_regex "{names}" flag "i" || @.key like_regex "{prefix}") && '
        f"!(@.key starts with \"{contract.forbidden_prefix}\" || {exact}))', '{{}}', true), false)"
    )


def _has_key(column: str, matching: str) -> str:
    return (
        f"(jsonb_typeof({column}) = 'object' AND EXISTS (SELECT FROM jsonb_object_keys("
        f"CASE jsonb_typeof({column}) WHEN 'object' THEN {column} ELSE '{{}}' END) AS key WHERE {matching}))"
    )


def _warnings(contract: Contract, checks: list[Check]) -> Iterator[Violation]:
    """Yield what is suspicious but not refused, for the columns of ``checks``."""
    audited = {column for check in checks for column in check.columns}
    for column in contract.objects:
        if column.name in audited:
            keys = _keys(contract, "case-variant-key", column.name)
            yield Violation("case-variant-key", column.name, _has_variant(contract, column), keys)
    if "content_hash" in audited:
        yield Violation("content-hash-format", "content_hash", f"NOT ({_WELL_FORMED_HASH})")
        for name, json, key in contract.mirrors:
            if json in audited:
                yield Violation("envelope-mismatch", name, f"{json}->>'{key}' <> {name}")
