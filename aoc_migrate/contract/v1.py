"""Version 1 of the Aggregation-Only Contract, as the container deployment guide asks (domain.md, rules 1 to 5).

Frozen: applied revisions were rendered from these values. A change is ``v2.py`` and a new revision; there is
deliberately no name for "the current contract".
"""

from dataclasses import replace

from aoc_migrate.contract.model import Contract, Part, ViewSwap
from aoc_migrate.contract.rules import Column

__all__ = ["ADVISORY_RAW", "ADVISORY_VIEW", "VEX_RAW", "Part"]

_FORBIDDEN_KEYS = (
    "severity",
    "cvss",
    "cvss_vector",
    "effective_status",
    "effective_range",
    "merged_from",
    "consensus_provider",
    "reachability",
    "asset_criticality",
    "risk_score",
)

_ENVELOPE = (
    Column("id", "text", required=True),
    Column("tenant", "text", required=True),
    Column("source_vendor", "text", required=True),
    Column("upstream_id", "text", required=True),
    Column("content_hash", "text", required=True),
    Column("retrieved_at", "timestamptz", required=True),
    Column("source", "jsonb", required=True, harmless=("vendor", "stream", "api", "collector_version")),
    Column(
        "upstream",
        "jsonb",
        required=True,
        harmless=("upstream_id", "document_version", "content_hash", "fetched_at", "signature"),
    ),
    Column(
        "linkset",
        "jsonb",
        required=True,
        harmless=("aliases", "purls", "cpes", "references", "reconciled_from"),
    ),
    Column("content", "jsonb", harmless=("format", "spec_version", "raw")),
    Column("identifiers", "jsonb", harmless=("cve", "ghsa", "aliases")),
    Column("supersedes", "text"),
    Column("created_at", "timestamptz", default="now()"),
)

ADVISORY_RAW = Contract(
    version=1,
    table="advisory_raw",
    columns=_ENVELOPE,
    document="content",
    link="supersedes",
    forbidden_keys=_FORBIDDEN_KEYS,
    forbidden_prefix="effective_",
    idempotency_key=("tenant", "source_vendor", "upstream_id", "content_hash"),
    chain_key=("tenant", "source_vendor", "upstream_id"),
    chain_order=("retrieved_at", 'id COLLATE "C"'),
    mirrors=(
        ("source_vendor", "source", "vendor"),
        ("upstream_id", "upstream", "upstream_id"),
        ("content_hash", "upstream", "content_hash"),
    ),
)

VEX_RAW = replace(ADVISORY_RAW, table="vex_raw")

ADVISORY_VIEW = ViewSwap(view="advisory", backup="advisory_backup_20251028")
