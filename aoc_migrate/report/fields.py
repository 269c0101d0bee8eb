"""The fields of facts and steps: which of them a report has, their units, and their JSON.

A field whose default is None is optional, and is left out if it is None. A field without a default is always
there; None means that its value is unknown.
"""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, NamedTuple, cast, get_args


class Facts:
    """Base of a group of facts: a frozen dataclass whose fields are keys of the JSON."""

    __slots__ = ()


@dataclass(frozen=True)
class Unit:
    """The unit of a number: the suffix of the field's name, and its ``seconds``; bytes have none."""

    suffix: str
    seconds: float | None = None


@dataclass(frozen=True)
class Pairs:
    """What the names and the values of a mapping are.

    ``bars``: the values are sizes to compare; ``ids``: numbers that name something; ``counts``: they add up.
    """

    name: str
    value: str
    bars: bool = False
    ids: bool = False
    counts: bool = False


@dataclass(frozen=True)
class Sample:
    """Marks records of which text shows only the first few; the JSON has more."""


@dataclass(frozen=True)
class Title:
    """What people see instead of the field's name, which is a key of the JSON."""

    text: str


@dataclass(frozen=True)
class Detail:
    """Marks a field that text shows only with -v; the JSON always has it."""


@dataclass(frozen=True)
class OnlyJson:
    """Marks a field that is for programs: only the JSON has it."""


Bytes = Annotated[int, Unit("_bytes")]
Seconds = Annotated[float, Unit("_seconds", 1.0)]
Milliseconds = Annotated[float, Unit("_ms", 0.001)]
States = Annotated[Mapping[str, str], Pairs("name", "state")]


class Field(NamedTuple):
    """A field of a report."""

    name: str
    value: Any
    unit: Unit | None = None
    pairs: Pairs | None = None
    sample: bool = False
    detail: bool = False
    title: Title | None = None
    only_json: bool = False


def fields_of(record: Any) -> Iterator[Field]:
    """Yield the fields of a dataclass, without optional ones that are None."""
    for field in fields(record):
        value = getattr(record, field.name)
        if value is not None or field.default is not None:
            yield Field(field.name, value, *_annotations(cast(Hashable, field.type)))


@cache
def _annotations(type_: Hashable) -> tuple[Unit | None, Pairs | None, bool, bool, Title | None, bool]:
    """Return what marks a field's type, which may be a union with None, in the order of `Field`."""
    marks = [item for part in (type_, *get_args(type_)) for item in getattr(part, "__metadata__", ())]
    unit = next((item for item in marks if isinstance(item, Unit)), None)
    pairs = next((item for item in marks if isinstance(item, Pairs)), None)
    title = next((item for item in marks if isinstance(item, Title)), None)
    return unit, pairs, Sample() in marks, Detail() in marks, title, OnlyJson() in marks


def data(value: Any) -> Any:
    """Return a value for JSON: a dataclass becomes an object of its fields."""
    if is_dataclass(value):
        return {field.name: data(field.value) for field in fields_of(value)}
    if isinstance(value, Mapping):
        return {name: data(part) for name, part in value.items()}
    return [data(part) for part in value] if isinstance(value, list | tuple) else value
