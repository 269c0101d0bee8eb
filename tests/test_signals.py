"""The signals of the throttle: each a class in a file of its own, with one of three verdicts."""

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator

import pytest

from aoc_migrate.database import throttle
from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.session import connect
from aoc_migrate.database.targets import Target
from aoc_migrate.database.throttle.signal import Normal, Signal, Stop, Unknown, WritingStep
from aoc_migrate.database.throttle.slot import Slot
from aoc_migrate.database.throttle.throttle import SIGNALS
from tests.conftest import ROOT, Database
from tests.helpers import unread_slot


def test_every_signal_is_in_the_list() -> None:
    """Each file of the package has at most one signal, and the throttle evaluates all of them."""
    names = [f"{throttle.__name__}.{module.name}" for module in pkgutil.iter_modules(throttle.__path__)]
    found = [
        [member for member in vars(importlib.import_module(name)).values() if is_signal_of(member, name)]
        for name in names
    ]

    assert max(map(len, found)) == 1
    assert {signal for signals in found for signal in signals} == set(SIGNALS)


def is_signal_of(member: object, module: str) -> bool:
    """Return whether a module defines this signal."""
    return (
        isinstance(member, type)
        and issubclass(member, Signal)
        and member is not Signal
        and member.__module__ == module
    )


def test_each_signal_has_a_kind_of_its_own() -> None:
    """Each signal counts its pauses under a name of its own, which the pages on reports and metrics list.

    A pause that a person asks for is one more kind.
    """
    kinds = {signal.kind for signal in SIGNALS}
    listed = re.search(r'"propertyNames": \{ "enum": (\[.*\]) \}', (ROOT / "docs/report.schema.json").read_text())
    (reasons,) = re.findall(r"how long steps paused: (.*) \|", (ROOT / "docs/metrics.md").read_text())

    assert len(kinds) == len(SIGNALS)
    assert listed is not None
    assert set(json.loads(listed[1])) == kinds | {"asked"} == set(re.findall("`(.*?)`", reasons))


@pytest.fixture
def writing_step(excititor: Database) -> Iterator[WritingStep]:
    """A step of one session."""
    with connect(Target("excititor", excititor.url), "test", Limits(), Flags()) as session:
        yield WritingStep(session, "link rows", "vex_raw", 1.0)


class Misspelt(Signal):
    """A signal whose query fails."""

    kind = what = "a column that does not exist"

    def reason(self) -> None:
        """Read it."""
        self.session.rows("SELECT nothing")


def test_a_signal_says_normal_stop_or_unknown(writing_step: WritingStep, excititor: Database) -> None:
    """A signal says Normal, Stop with its reason, or Unknown where its query fails."""
    signal = Slot(writing_step)
    normal = signal.evaluate()
    writing_step.session.limits = Limits(max_lag_bytes=1)
    with unread_slot(excititor) as name:
        stop = signal.evaluate()
    unknown = Misspelt(writing_step).evaluate()

    assert normal == Normal()
    assert isinstance(stop, Stop)
    assert stop.reason.startswith(f"slot '{name}' is ")
    assert unknown == Unknown('column "nothing" does not exist')
