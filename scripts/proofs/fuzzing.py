"""Runs subjects of tests/fuzzing with hypothesis until their time is up, and reports what they found."""

import random
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from tests.fuzzing import predicates
from tests.fuzzing.place import Place
from tests.fuzzing.subjects import Subject

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


@dataclass
class Outcome:
    """How many examples of a subject were tried, for how long, and what was found."""

    cases: int = 0
    seconds: float = 0.0
    found: str = ""


def fuzz(place: Place, subject: Subject, seconds: float, seed: int) -> Outcome:
    """Try examples for that long, or until one fails; hypothesis then finds the smallest that does."""
    return timed(lambda outcome: _rounds(place, subject, seconds, seed, outcome))


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
