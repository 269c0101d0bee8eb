"""Values and columns that fit: no wider than their room, and distinct where they were."""

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from aoc_migrate.report.fitting import GAP, column_widths, shortened
from aoc_migrate.report.formatting import duration
from aoc_migrate.report.model import Report, StepReport
from aoc_migrate.report.tables import step_table

IDS = st.lists(st.text("ab:-é漢", min_size=1, max_size=40), min_size=1, max_size=8)


@given(IDS, st.integers(4, 40))
def test_shortened_values_fit(values: list[str], width: int) -> None:
    """No value is wider than its column, and one that already fits is left alone."""
    short = shortened(values, width)

    assert max(map(cell_len, short)) <= width
    assert all(cut == value for cut, value in zip(short, values, strict=True) if cell_len(value) <= width)


@given(st.text("abc", min_size=30, max_size=30), st.integers(0, 999_999), st.integers(0, 999_999))
def test_different_ids_stay_different(common: str, one: int, other: int) -> None:
    """Ids that differ in six digits somewhere stay different in 20 columns, wherever these digits are."""
    for place in (0, 15, 24, 30):
        ids = [f"{common[:place]}{n:06}{common[place:]}" for n in (one, other)]

        assert len({*shortened(ids, 20)}) == len({*ids})


@given(
    st.lists(st.tuples(st.text("ab ", max_size=12), IDS, st.booleans()), min_size=1, max_size=6),
    st.integers(10, 120),
)
def test_columns_share_the_width(columns: list[tuple[str, list[str], bool]], room: int) -> None:
    """Columns fill at most the room; a fixed one keeps its widest value, and none is wider than it needs."""
    names, values, fixed = zip(*columns, strict=True)

    widths = column_widths(names, values, fixed, room)

    wanted = [max([cell_len(n), *map(cell_len, texts)]) for n, texts in zip(names, values, strict=True)]
    if widths is None:
        assert sum(wanted) + GAP * (len(wanted) - 1) > room
        return
    assert sum(widths) + GAP * (len(widths) - 1) <= room
    for width, want, texts, stays in zip(widths, wanted, values, fixed, strict=True):
        assert width <= want
        assert not stays or width >= max(map(cell_len, texts))


def test_durations_have_two_units_at_most() -> None:
    """A time is written in the units that people use, rounded to what they read."""
    written = {0.0032: "3.2 ms", 0.85: "850 ms", 4.12: "4.1 s", 59.96: "1 min", 125: "2 min 5 s", 3599.6: "1 h"}
    written |= {11520: "3 h 12 min", 86400: "1 d", 187_200: "2 d 4 h", 0: "0 ms"}

    assert {seconds: duration(seconds) for seconds in written} == written


def test_columns_keep_their_order() -> None:
    """Whichever steps have a value first, the columns of steps are in one order; a rehearsal's have room."""
    index = StepReport("CREATE INDEX", total_ms=1.0, phase="upgrade", wal_bytes=2, growth_bytes=3, rows=4)
    check = StepReport("ADD CONSTRAINT", waited_ms=1.0, held_ms=2.0, phase="upgrade", wal_bytes=2, growth_bytes=3)
    orders = [step_table("steps", Report("x", steps=steps)) for steps in ([index, check], [check, index])]

    assert orders[0].columns == orders[1].columns
    hidden = {orders[0].columns[n] for n in orders[0].hidden}
    assert hidden == {"attempts", "rows"}
