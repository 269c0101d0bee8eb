"""The fields of facts and steps: which of them a report has, in which unit, and as which data.

A field whose default is None does not always apply, and is left out where it is None. A field without a default
is always there; None in it means that nobody knows.
"""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, NamedTuple, cast, get_args


class Facts:
    """One group of facts: a frozen dataclass. Its fields are keys of the JSON."""

    __slots__ = ()


@dataclass(frozen=True)
class Unit:
    """What a number counts: the end of the field's name, and what people read behind the number."""

    suffix: str
    words: str = ""


@dataclass(frozen=True)
class Pairs:
    """What the names and the values of a mapping are. ``bars``: the values are sizes that one compares."""

    name: str
    value: str
    bars: bool = False


Bytes = Annotated[int, Unit("_bytes")]
Seconds = Annotated[float, Unit("_seconds", " s")]
Milliseconds = Annotated[float, Unit("_ms", " ms")]
States = Annotated[Mapping[str, str], Pairs("name", "state")]


class Field(NamedTuple):
    """A field that a report has."""

    name: str
    value: Any
    unit: Unit | None
    pairs: Pairs | None


def fields_of(record: Any) -> Iterator[Field]:
    """Yield the fields of a dataclass that apply."""
    for field in fields(record):
        value = getattr(record, field.name)
        if value is not None or field.default is not None:
            yield Field(field.name, value, *_about(cast(Hashable, field.type)))


@cache
def _about(type_: Hashable) -> tuple[Unit | None, Pairs | None]:
    """Return what the annotation of a field says of it, also where the field may be None."""
    said = [word for part in (type_, *get_args(type_)) for word in getattr(part, "__metadata__", ())]
    unit = next((word for word in said if isinstance(word, Unit)), None)
    return unit, next((word for word in said if isinstance(word, Pairs)), None)


def data(value: Any) -> Any:
    """Return a value as JSON has it: a dataclass is an object of the fields that apply."""
    if is_dataclass(value):
        return {field.name: data(field.value) for field in fields_of(value)}
    if isinstance(value, Mapping):
        return {name: data(part) for name, part in value.items()}
    return [data(part) for part in value] if isinstance(value, list | tuple) else value
