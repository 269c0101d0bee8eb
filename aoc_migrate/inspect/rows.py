"""Audit of the rows: would each satisfy the contract? One scan counts; only rules that fail are read again."""

from collections.abc import Iterator
from typing import Any

from aoc_migrate.contract.model import BLANK, Check, Column, Contract
from aoc_migrate.database.session import Session
from aoc_migrate.report.model import Finding, make

KEY_LIMIT = 2600  # bytes; a btree entry holds 2704 with its header (PostgreSQL 15 manual, 67.4)

_WELL_FORMED_HASH = (
    "octet_length(content_hash) = 71 AND starts_with(content_hash, 'sha256:') "
    "AND substr(content_hash, 8) COLLATE \"C\" !~ '[^0-9a-f]'"
)


def audit_rows(
    session: Session, contract: Contract, checks: list[Check], required: list[str], limit: int
) -> Iterator[Finding]:
    """Yield what the rows break: ``checks`` that are not proven yet and ``required`` columns still nullable.

    ``limit`` caps the sample of each finding; counts are over every row.
    """
    judged = {column for check in checks for column in check.columns if check != contract.blank_check()}
    required = [column for column in required if column not in judged]  # those rules see NULLs as well
    scan = {f"null:{c}": f"{c} IS NULL" for c in required}
    scan |= {f"check:{check.name}": f"NOT ({check.predicate})" for check in checks}
    scan |= _warnings(contract, checks)
    if not scan:
        return
    counted = ", ".join(f'count(*) FILTER (WHERE {p}) AS "{name}"' for name, p in scan.items())
    counts = session.row(f"SELECT {counted} FROM {contract.table}")
    for column in required:
        if counts[f"null:{column}"]:
            yield _row_finding(session, contract, "missing-required", column, scan[f"null:{column}"], limit)
    for check in checks:
        if counts[f"check:{check.name}"]:
            yield from _broken(session, contract, check, limit)
    for name, predicate in scan.items():
        slug, _, column = name.partition(":")
        if slug not in ("null", "check") and counts[name]:
            yield from _warned(session, contract, slug, column, predicate, limit)


def _row_finding(
    session: Session, contract: Contract, slug: str, column: str, where: str, sample: int, **words: Any
) -> Finding:
    """Count the rows that ``where`` picks, take a sample of their ids, and make the finding."""
    table = contract.table
    rows = session.value(f"SELECT count(*) FROM {table} WHERE {where}")
    fields = words.pop("fields", "")
    shown = session.rows(
        f'SELECT id{fields} FROM {table} WHERE {where} ORDER BY id COLLATE "C" LIMIT %s', (sample,)
    )
    return make(
        slug,
        f"{table}.{column}" if column else table,
        column=column,
        target=session.target.name,
        count=rows,
        rows=rows,
        statement=session.pasteable(f"SELECT id FROM {table} WHERE {where} ORDER BY id"),
        sample=shown,
        **words,
    )


def _broken(session: Session, contract: Contract, check: Check, limit: int) -> Iterator[Finding]:
    if check.name == contract.blank_check().name:
        for key in check.columns:
            where = f"btrim({key}, {BLANK}) = ''"
            if session.value(f"SELECT EXISTS (SELECT FROM {contract.table} WHERE {where})"):
                yield _row_finding(session, contract, "blank-key", key, where, limit)
        return
    column = next(c for c in contract.columns if c.name == check.columns[0])
    yield from _broken_object(session, contract, column, f"NOT ({check.predicate})", limit)


def _broken_object(
    session: Session, contract: Contract, column: Column, broken: str, limit: int
) -> Iterator[Finding]:
    """Tell apart what the one predicate of a JSONB column refuses: no object, forbidden, or derived key."""
    kinds = object_kinds(contract, column)
    counted = ", ".join(f'count(*) FILTER (WHERE {p}) AS "{slug}"' for slug, p in kinds.items())
    counts = session.row(f"SELECT {counted} FROM {contract.table} WHERE {broken}")
    for slug, predicate in kinds.items():
        if not counts[slug]:
            continue
        where = f"{broken} AND {predicate}"
        if slug in ("forbidden-key", "derived-key"):
            yield _key_finding(session, contract, slug, column.name, where, _matching(contract, slug), limit)
        else:
            yield _row_finding(session, contract, slug, column.name, where, limit)


def object_kinds(contract: Contract, column: Column) -> dict[str, str]:
    """Return slug and predicate of each way in which a row can break the rule of a JSONB column."""
    kinds = {}
    if column.required:
        kinds["missing-required"] = f"coalesce(jsonb_typeof({column.name}) <> 'object', true)"
    else:
        kinds["not-an-object"] = f"jsonb_typeof({column.name}) <> 'object'"
    for slug in ("forbidden-key", "derived-key"):
        kinds[slug] = _has_key(column.name, _matching(contract, slug))
    return kinds


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
    """Return the predicate for a variant key; like the CHECK's, cheap because harmless keys go first."""
    names, prefix = _variants(contract)
    exact = " || ".join(f'@.key == "{k}"' for k in contract.forbidden_keys)
    harmless = ", ".join(f"'{k}'" for k in column.harmless)
    return (
        f"coalesce(jsonb_path_exists(({column.name} || '{{}}') - ARRAY[{harmless}], 'strict $.keyvalue() ? ("
        f'(@.key like_regex "{names}" flag "i" || @.key like_regex "{prefix}") && '
        f"!(@.key starts with \"{contract.forbidden_prefix}\" || {exact}))', '{{}}', true), false)"
    )


def _has_key(column: str, matching: str) -> str:
    return (
        f"(jsonb_typeof({column}) = 'object' AND EXISTS (SELECT FROM jsonb_object_keys("
        f"CASE jsonb_typeof({column}) WHEN 'object' THEN {column} ELSE '{{}}' END) AS key WHERE {matching}))"
    )


def _key_finding(
    session: Session, contract: Contract, slug: str, column: str, where: str, matching: str, limit: int
) -> Finding:
    keys = f"ARRAY(SELECT key FROM jsonb_object_keys({column}) AS key WHERE {matching} ORDER BY key)"
    names = session.rows(
        f"SELECT DISTINCT key FROM {contract.table}, unnest({keys}) AS key WHERE {where} ORDER BY key LIMIT 12"
    )
    shown = ", ".join(row["key"] for row in names)
    return _row_finding(session, contract, slug, column, where, limit, keys=shown, fields=f", {keys} AS keys")


def _warnings(contract: Contract, checks: list[Check]) -> dict[str, str]:
    """Return what is suspicious but not refused, for the columns whose rules are being audited anyway."""
    audited = {column for check in checks for column in check.columns}
    scan: dict[str, str] = {}
    for column in contract.objects:
        if column.name in audited:
            scan[f"case-variant-key:{column.name}"] = _has_variant(contract, column)
    if "content_hash" in audited:
        scan["content-hash-form:content_hash"] = f"NOT ({_WELL_FORMED_HASH})"
        for column_name, json, key in contract.mirrors:
            if json in audited:
                scan[f"envelope-mismatch:{column_name}"] = f"{json}->>'{key}' <> {column_name}"
        lengths = " + ".join(f"octet_length({c})" for c in (*contract.idempotency_key, "id"))
        scan["key-too-long:"] = f"{lengths} > {KEY_LIMIT}"
    return scan


def _warned(
    session: Session, contract: Contract, slug: str, column: str, where: str, limit: int
) -> Iterator[Finding]:
    if slug == "case-variant-key":
        matching = _matching(contract, "variant")
        yield _key_finding(session, contract, slug, column, where, matching, limit)
        return
    mirror = next((f"{json}.{key}" for name, json, key in contract.mirrors if name == column), "")
    yield _row_finding(session, contract, slug, column, where, limit, field=mirror, limit=KEY_LIMIT)
