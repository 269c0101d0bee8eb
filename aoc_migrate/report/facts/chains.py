"""Facts about the supersedes chains and their journal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from aoc_migrate.report.fields import Detail, Facts, Pairs


@dataclass(frozen=True)
class LargestChain:
    """A number of revisions, how many documents have that number, and the key of one of them."""

    revisions: int
    documents: int
    tenant: str | None
    source_vendor: str | None
    upstream_id: str | None


@dataclass(frozen=True)
class LinkedRow:
    """A row, and the row that it supersedes."""

    id: str
    supersedes: str | None


@dataclass(frozen=True)
class ChainFacts(Facts):
    """The ``rows`` in scope, how many of them are ``linked``, and the lengths of chains.

    ``chain_depths``: documents by number of revisions, in powers of two. ``largest_chains``: the five highest
    numbers of revisions. ``chain_sample``: the first five rows in chain order.
    """

    rows: int
    linked: int
    chain_depths: Annotated[Mapping[str, int], Pairs("revisions", "documents", bars=True)]
    largest_chains: Annotated[tuple[LargestChain, ...], Detail()]
    chain_sample: Annotated[tuple[LinkedRow, ...], Detail()]


@dataclass(frozen=True)
class LinksProven(Facts):
    """When the last scan of the backfill found every link right: verify then did not read them again."""

    links_proven_at: str


@dataclass(frozen=True)
class RelinkFacts(Facts):
    """How many links `chain --apply` set."""

    relinked: int


@dataclass(frozen=True)
class JournalFacts(Facts):
    """The batches of the journal and the links that it holds; None if this role may not read it."""

    batches: int | None
    links: int | None
