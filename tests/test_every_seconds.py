"""A repeated log line is written at most once in an interval, a different one at once."""

from aoc_migrate.database.every_seconds import EverySeconds


def test_the_same_line_is_due_once() -> None:
    """The first line is due at once, the same one not again before its time."""
    line = EverySeconds(3600.0)

    assert [line.due(), line.due()] == [True, False]


def test_a_different_line_is_due_at_once() -> None:
    """A line with another text does not wait for the time of the last one."""
    line = EverySeconds(3600.0)

    assert [line.due("waiting"), line.due("held"), line.due("held")] == [True, True, False]


def test_the_first_line_may_have_to_wait() -> None:
    """Where a step usually ends soon, the first line waits for its time as well."""
    assert not EverySeconds(3600.0, at_once=False).due()


def test_a_line_is_due_again_after_its_time() -> None:
    """After its time a line is due again."""
    line = EverySeconds(0.0)

    assert [line.due("waiting"), line.due("waiting")] == [True, True]
