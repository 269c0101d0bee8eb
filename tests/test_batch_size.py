"""How batches find their size, and what the key order gains: updates in place, and a table that hardly grows."""

from hypothesis import given
from hypothesis import strategies as st

from aoc_migrate.database.batch_size import LEAST, BatchSize
from aoc_migrate.database.limits import Limits
from tests.conftest import Aoc, Database
from tests.helpers import updates

PER_ROW = st.floats(1e-7, 1e-1)


@given(st.lists(PER_ROW, min_size=1, max_size=60), st.integers(1, 20_000), st.floats(0.001, 0.5))
def test_sizes_stay_in_bounds(costs: list[float], most: int, target: float) -> None:
    """However costs jump, a size is at most doubled or halved, and stays between 100 and --batch-rows."""
    batch = BatchSize(Limits(batch_rows=most, batch_time=target))
    for cost in costs:
        before = batch.rows
        batch.learn(before, before * cost)

        assert min(LEAST, most) <= batch.rows <= most
        assert before // 2 <= batch.rows <= 2 * before


@given(PER_ROW, st.floats(0.001, 0.5))
def test_batches_soon_take_the_time_they_aim_at(cost: float, target: float) -> None:
    """At a constant cost a row, batches soon take the time that they aim at, within their bounds."""
    batch = BatchSize(Limits(batch_rows=20_000, batch_time=target))
    for _ in range(30):
        batch.learn(batch.rows, batch.rows * cost)

    settled = batch.rows
    batch.learn(settled, settled * cost)

    assert batch.rows == settled
    assert settled in (LEAST, 20_000) or 0.6 <= settled * cost / target <= 1.4


def test_one_slow_batch_changes_little() -> None:
    """One batch that meets a checkpoint halves the size at most, and two ordinary ones bring it back."""
    batch = BatchSize(Limits(batch_rows=20_000))
    for _ in range(20):
        batch.learn(batch.rows, batch.rows * 25e-6)
    usual = batch.rows

    batch.learn(batch.rows, 0.8)
    after = batch.rows
    for _ in range(8):
        batch.learn(batch.rows, batch.rows * 25e-6)

    assert after >= usual // 2
    assert batch.rows >= usual * 0.6


def test_a_slow_batch_shrinks_down_to_one_row() -> None:
    """If even 100 rows take more than a second, the size falls to one row, and recovers afterwards."""
    batch = BatchSize(Limits(batch_rows=20_000))
    for _ in range(20):
        batch.halve()
    smallest = batch.rows
    for _ in range(20):
        batch.learn(batch.rows, batch.rows * 25e-6)

    assert smallest == 1
    assert batch.rows > 1000


def test_a_size_that_did_not_fit_is_not_tried_at_once() -> None:
    """After a batch that did not fit into a second, rows as dear as those let the size stay as it became."""
    batch = BatchSize(Limits(batch_rows=500), first=16)
    batch.too_slow()
    for _ in range(5):
        batch.learn(batch.rows, batch.rows * 0.1)

    assert batch.rows == 8


def test_most_updates_are_in_place(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """Three of four updates are in place; the table grows by 15 % at most, its indexes by 3 %."""
    excititor.run(
        "ALTER TABLE vex_raw SET (autovacuum_enabled = off);"
        "INSERT INTO vex_raw (id, tenant, source_vendor, upstream_id, content_hash, retrieved_at, source, "
        "upstream, linkset, content) SELECT 'vex_raw:osv:cve-' || n, 'default', 'osv', 'CVE-2025-' || n * 2 / 5, "
        "'sha256:' || sha256(n::text::bytea)::text, timestamptz '2025-01-01' + n * interval '1 min', '{}', "
        "'{}', '{}', jsonb_build_object('raw', jsonb_build_object('filler', repeat('x', 480))) "
        "FROM generate_series(0, 11999) AS n ORDER BY md5(n::text); ANALYZE vex_raw"
    )
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0005").exit_code == 0
    sizes = "SELECT pg_relation_size('vex_raw'), pg_indexes_size('vex_raw')"
    ((heap, indexes),) = excititor.rows(sizes)

    assert aoc("upgrade", "excititor_0006", "--batch-rows", "300", **retrofit).exit_code == 0

    ((heap_after, indexes_after),) = excititor.rows(sizes)
    updated, in_place = updates(excititor)
    assert updated == 7200
    assert in_place / updated >= 0.75
    assert heap_after / heap <= 1.15
    assert indexes_after / indexes <= 1.03
