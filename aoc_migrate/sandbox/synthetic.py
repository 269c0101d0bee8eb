"""Invented advisories in the form of real ones. The same seed gives the same rows."""

import hashlib
import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import psycopg

from aoc_migrate.errors import refused
from aoc_migrate.sandbox.envelope import Envelope, Loaded, as_json, copy_rows

_VENDORS = {"redhat": 40, "osv": 25, "ghsa": 15, "ubuntu": 8, "suse": 6, "debian": 4, "cisco": 2}
_TENANTS = {"default": 80, "acme": 15, "globex": 5}
_REVISIONS = {1: 60, 2: 18, 3: 9, 4: 5, 5: 3, 6: 2, 7: 2, 8: 1}
_LONGEST_WAIT = 5000
_BEGIN = datetime(2024, 10, 28)
_PERIOD = timedelta(days=365)
_WORDS = tuple(
    "a flaw in the parser of untrusted archives lets a remote attacker read memory beyond the buffer when "  # noqa: SIM905
    "certificate checks are skipped during renegotiation and the session is resumed under load".split()
)


Dirt = Callable[[Envelope], Envelope]
_Document = tuple[str, str, dict[str, object]]
_T = TypeVar("_T")


def _with_key(column: str, key: str) -> Dirt:
    return lambda row: _replace(row, column, f'{{"{key}":"high",{getattr(row, column)[1:]}')


def _with(column: str, value: str | None) -> Dirt:
    return lambda row: _replace(row, column, value)


def _replace(row: Envelope, column: str, value: str | None) -> Envelope:
    return Envelope(**{**row._asdict(), column: value})


DIRT: tuple[Dirt, ...] = (
    _with("tenant", None),
    _with("source_vendor", "  "),
    _with_key("source", "severity"),
    _with_key("linkset", "effective_range"),
    _with("content", "[1, 2]"),
    _with("linkset", "null"),
    _with("upstream_id", None),
    _with_key("content", "risk_score"),
    _with("upstream", '"a scalar"'),
    _with_key("identifiers", "cvss"),
    _with("retrieved_at", None),
    _with("source", None),
    _with_key("upstream", "effective_until"),
    _with("content_hash", ""),
)
"""The ways in which a row breaks exactly one rule of the contract; used in turn."""


def generate(
    table: str,
    rows: int,
    *,
    seed: int = 0,
    duplicates: int = 0,
    violations: int = 0,
    tenant: str | None = None,
) -> Iterator[Envelope]:
    """Yield ``rows`` clean rows by time of retrieval, with the revisions of one document far apart.

    In addition, yield ``duplicates`` rows with the idempotency key of another row, and ``violations`` rows that
    break one rule each. With ``tenant``, all rows are that tenant's. Raises Abort (exit 2) for impossible numbers.
    """
    if rows < 0 or duplicates < 0 or violations < 0 or duplicates > rows or (violations and not rows):
        raise refused("--rows must be at least --duplicates, and neither may be negative.")
    chance = _chance(f"dirt {table} {seed}")
    repeated = set(chance.sample(range(rows), duplicates))
    broken_after = Counter(chance.randrange(rows) for _ in range(violations))
    clean = _clean(table, violations, f"{seed}-dirt", tenant)
    broken = (dirty(row) for dirty, row in zip(itertools.cycle(DIRT), clean, strict=False))
    for position, row in enumerate(_clean(table, rows, str(seed), tenant)):
        yield row
        if position in repeated:
            yield row._replace(id=f"{row.id}:again", retrieved_at=str(row.retrieved_at).replace("Z", "5Z"))
        yield from itertools.islice(broken, broken_after[position])


def load_synthetic(
    connection: psycopg.Connection[Any],
    table: str,
    rows: int,
    *,
    seed: int = 0,
    duplicates: int = 0,
    violations: int = 0,
    tenant: str | None = None,
) -> Loaded:
    """Load the rows of :func:`generate` in one transaction. Raises what it raises."""
    invented = generate(table, rows, seed=seed, duplicates=duplicates, violations=violations, tenant=tenant)
    return Loaded(copy_rows(connection, table, invented))


def _chance(seed: str) -> random.Random:
    return random.Random(seed)  # noqa: S311 - reproducible rows, not secrets


def _clean(table: str, rows: int, seed: str, tenant: str | None) -> Iterator[Envelope]:
    chance = _chance(f"{table} {seed}")
    waiting: list[tuple[int, int, _Chain]] = []
    for position in range(rows):
        if waiting and waiting[0][0] <= position:
            _due, number, chain = heapq.heappop(waiting)
        else:
            number = position
            chain = _Chain(
                upstream_id=f"SYN-{seed}-{number:07d}",
                tenant=tenant or _pick(chance, _TENANTS),
                vendor=_pick(chance, _VENDORS),
                revisions=_pick(chance, _REVISIONS),
            )
        chain.revision += 1
        time = (_BEGIN + _PERIOD * (position / rows)).isoformat(timespec="milliseconds") + "Z"
        yield _row(table, chain, time, chance)
        if chain.revision < chain.revisions:
            heapq.heappush(waiting, (position + chance.randint(1, _LONGEST_WAIT), number, chain))


@dataclass
class _Chain:
    """One upstream document, its tenant and vendor, and how many of its revisions were written."""

    upstream_id: str
    tenant: str
    vendor: str
    revisions: int
    revision: int = 0


def _pick(chance: random.Random, weights: Mapping[_T, int]) -> _T:
    return chance.choices(tuple(weights), tuple(weights.values()))[0]


def _row(table: str, chain: _Chain, time: str, chance: random.Random) -> Envelope:
    shape = _openvex if table == "vex_raw" else _osv
    format_, version, document = shape(chain, time, chance)
    raw = as_json(document)
    digest = hashlib.sha256(raw.encode()).hexdigest()
    alias = f"CVE-2025-{chain.upstream_id[-7:]}"
    return Envelope(
        id=f"{table}:{chain.vendor}:{chain.upstream_id}:{chain.revision}:sha256-{digest[:12]}",
        tenant=chain.tenant,
        source_vendor=chain.vendor,
        upstream_id=chain.upstream_id,
        content_hash=f"sha256:{digest}",
        retrieved_at=time,
        source=as_json(
            {"vendor": chain.vendor, "stream": table, "api": "synthetic", "collector_version": "sandbox"}
        ),
        upstream=as_json(
            {
                "upstream_id": chain.upstream_id,
                "document_version": str(chain.revision),
                "content_hash": f"sha256:{digest}",
                "fetched_at": time,
                "signature": {"present": False},
            }
        ),
        linkset=as_json({"aliases": [alias], "purls": [], "cpes": [], "references": [], "reconciled_from": []}),
        content=f'{{"format":"{format_}","spec_version":"{version}","raw":{raw}}}',
        identifiers=as_json({"aliases": [chain.upstream_id, alias]}),
    )


def _prose(chance: random.Random) -> str:
    return " ".join(chance.choices(_WORDS, k=chance.randint(5, 250)))


def _osv(chain: _Chain, time: str, chance: random.Random) -> _Document:
    document: dict[str, object] = {
        "schema_version": "1.6.0",
        "id": chain.upstream_id,
        "modified": time,
        "severity": [{"type": "CVSS_V3", "score": f"{chance.uniform(1, 10):.1f}"}],
        "summary": f"Revision {chain.revision} of {chain.upstream_id}",
        "details": _prose(chance),
        "affected": [{"package": {"ecosystem": "PyPI", "name": chance.choice(_WORDS)}, "versions": ["1.0"]}],
    }
    return "OSV", "1.6.0", document


def _openvex(chain: _Chain, time: str, chance: random.Random) -> _Document:
    document: dict[str, object] = {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": chain.upstream_id,
        "author": chain.vendor,
        "timestamp": time,
        "version": chain.revision,
        "severity": "high",
        "statements": [{"status": "not_affected", "impact_statement": _prose(chance)}],
    }
    return "OpenVEX", "0.2.0", document
