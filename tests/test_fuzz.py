"""A few examples of every subject of `scripts/fuzz`, the same in every run; the script tries them by the hour."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzzing.place import Place, place_of
from tests.fuzzing.subjects import SUBJECTS

EXAMPLES = {"command-lines": 12, "configuration": 60, "names": 2, "predicates": 100, "rows": 3}


@pytest.fixture(scope="module")
def place(pg_server: SimpleNamespace) -> Iterator[Place]:
    """The server of the tests, with databases of this module's own."""
    place = place_of(pg_server)
    yield place
    place.close()


@pytest.mark.alike
@pytest.mark.parametrize("name", SUBJECTS)
def test_examples_of_every_subject_pass(name: str, place: Place) -> None:
    """What `scripts/fuzz` claims of a subject is true of its first examples."""
    subject = SUBJECTS[name]

    @settings(
        max_examples=EXAMPLES[name],
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(subject.examples)
    def claim(example: Any) -> None:
        subject.check(place, example)

    claim()
