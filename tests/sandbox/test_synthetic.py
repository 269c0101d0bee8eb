"""Invented advisories."""

import itertools
from collections import Counter
from typing import Any

import psycopg
import pytest

from aoc_migrate.errors import Abort
from aoc_migrate.sandbox.envelope import Envelope
from aoc_migrate.sandbox.synthetic import DIRT, generate, load_synthetic


def test_the_same_seed_gives_the_same_rows() -> None:
    """The same seed gives the same rows, another seed others."""
    first, again = (list(generate("advisory_raw", 300, seed=7, duplicates=3, violations=5)) for _ in "ab")

    assert first == again
    assert first != list(generate("advisory_raw", 300, seed=8, duplicates=3, violations=5))


@pytest.mark.alike
@pytest.mark.parametrize("table", ["advisory_raw", "vex_raw"])
def test_clean_rows_satisfy_the_contract(table: str) -> None:
    """Clean rows have unique ids and keys, are in order of retrieval, and form chains of 1 to 8 revisions."""
    rows = list(generate(table, 20_000))
    chains = Counter((row.tenant, row.source_vendor, row.upstream_id) for row in rows)

    assert len({row.id for row in rows}) == len(rows)
    assert len({(*row[1:4], row.content_hash) for row in rows}) == len(rows)
    assert [row.retrieved_at for row in rows] == sorted(str(row.retrieved_at) for row in rows)
    assert set(chains.values()) == set(range(1, 9))
    assert len({row.tenant for row in rows}) == 3


def test_the_requested_number_of_groups_share_a_key() -> None:
    """The requested number of groups share a key, each with two rows of different ids."""
    rows = list(generate("advisory_raw", 500, duplicates=40))
    keys = Counter((*row[1:4], row.content_hash) for row in rows)

    assert len(rows) == 540
    assert Counter(keys.values()) == {1: 460, 2: 40}
    assert len({row.id for row in rows}) == len(rows)


def test_each_violation_changes_one_column(raw_tables: psycopg.Connection[Any]) -> None:
    """Each violation can be loaded and differs from a clean row in one column only."""
    rows = list(generate("advisory_raw", 10, violations=len(DIRT)))
    loaded = load_synthetic(raw_tables, "advisory_raw", 10, violations=len(DIRT), tenant="acme")

    assert loaded.rows == len(rows) == 10 + len(DIRT)
    clean = next(generate("advisory_raw", 1))
    for spoil in DIRT:
        spoiled = spoil(clean)
        assert sum(a != b for a, b in itertools.zip_longest(clean, spoiled)) == 1
        assert isinstance(spoiled, Envelope)


@pytest.mark.parametrize("numbers", [(5, 6, 0), (-1, 0, 0), (0, 0, 1)])
def test_impossible_numbers_are_refused(numbers: tuple[int, int, int]) -> None:
    """More repeats than rows, or negative numbers, are refused."""
    rows, duplicates, violations = numbers
    with pytest.raises(Abort, match="--rows must be at least"):
        list(generate("advisory_raw", rows, duplicates=duplicates, violations=violations))
