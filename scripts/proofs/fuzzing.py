"""Runs subjects of tests/fuzzing with hypothesis until their time is up, and reports what they found."""

import random
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.stateful import run_state_machine_as_test

from tests.fuzzing import predicates
from tests.fuzzing.place import Place
from tests.fuzzing.subjects import SUBJECTS, Subject
from tests.model.machine import Model

NAMES = [*SUBJECTS, "model"]
ROUND = 200
"""Examples of one call of hypothesis. The next call gets another seed, and so draws other examples."""
_SETTINGS = settings(
    max_examples=ROUND,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
    print_blob=False,
    report_multiple_bugs=False,
)


_WALKS = settings(_SETTINGS, max_examples=3, stateful_step_count=20)


@dataclass
class Outcome:
    """How many examples of a subject were tried, for how long, and what was found."""

    cases: int = 0
    seconds: float = 0.0
    found: str = ""


def fuzz(place: Place, name: str, seconds: float, seed: int) -> Outcome:
    """Try examples of a subject for that long, or until one fails; hypothesis then looks for the smallest."""
    if name not in SUBJECTS:
        return timed(lambda outcome: _walks(place, seconds, seed, outcome))
    return timed(lambda outcome: _rounds(place, SUBJECTS[name], seconds, seed, outcome))


def _walks(place: Place, seconds: float, seed: int, outcome: Outcome) -> None:
    end, seeds, here = time.monotonic() + seconds, random.Random(seed), place

    class Walk(Model):
        place = here
        thorough = True

        def teardown(self) -> None:
            outcome.cases += 1
            super().teardown()

    while time.monotonic() < end:
        run_state_machine_as_test(seeded(seeds.getrandbits(64))(Walk), settings=_WALKS)


def _rounds(place: Place, subject: Subject, seconds: float, seed: int, outcome: Outcome) -> None:
    end, seeds = time.monotonic() + seconds, random.Random(seed)
    failed = False

    def one(example: Any) -> None:
        nonlocal failed
        if not failed and time.monotonic() > end:
            return
        outcome.cases += not failed
        try:
            subject.check(place, example)
        except BaseException:
            failed = True
            raise

    while time.monotonic() < end:
        seeded(seeds.getrandbits(64))(_SETTINGS(given(subject.examples)(one)))()


def batches(place: Place, number: int, seed: int) -> Outcome:
    """Try that many rows against the predicates, thousands a statement."""

    def work(outcome: Outcome) -> None:
        for outcome.cases in predicates.many(place, number, seed):
            pass

    return timed(work)


def timed(work: Callable[[Outcome], None]) -> Outcome:
    """Do the work and return its outcome, with what it raised as text."""
    outcome, begun = Outcome(), time.monotonic()
    try:
        work(outcome)
    except Exception as error:  # noqa: BLE001  (whatever it is, it is what was looked for)
        outcome.found = "".join(traceback.format_exception(error))
    outcome.seconds = time.monotonic() - begun
    return outcome
