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
    """The unit of a number: the suffix of the field's name, and the text that people see after the number."""

    suffix: str
    text: str = ""


@dataclass(frozen=True)
class Pairs:
    """What the names and the values of a mapping are. ``bars``: the values are sizes to compare."""

    name: str
    value: str
    bars: bool = False


@dataclass(frozen=True)
class Detail:
    """Marks a field that is shown only with -v in text; always in the JSON."""


Bytes = Annotated[int, Unit("_bytes")]
Seconds = Annotated[float, Unit("_seconds", " s")]
Milliseconds = Annotated[float, Unit("_ms", " ms")]
States = Annotated[Mapping[str, str], Pairs("name", "state")]


class Field(NamedTuple):
    """A field of a report."""

    name: str
    value: Any
    unit: Unit | None
    pairs: Pairs | None


def fields_of(record: Any) -> Iterator[Field]:
    """Yield the fields of a dataclass, without optional ones that are None."""
    for field in fields(record):
        value = getattr(record, field.name)
        if value is not None or field.default is not None:
            yield Field(field.name, value, *_annotations(cast(Hashable, field.type)))


@cache
def _annotations(type_: Hashable) -> tuple[Unit | None, Pairs | None]:
    """Return the Unit and the Pairs in the annotation of a field, which may be a union with None."""
    metadata = [item for part in (type_, *get_args(type_)) for item in getattr(part, "__metadata__", ())]
    unit = next((item for item in metadata if isinstance(item, Unit)), None)
    return unit, next((item for item in metadata if isinstance(item, Pairs)), None)


def data(value: Any) -> Any:
    """Return a value for JSON: a dataclass becomes an object of its fields."""
    if is_dataclass(value):
        return {field.name: data(field.value) for field in fields_of(value)}
    if isinstance(value, Mapping):
        return {name: data(part) for name, part in value.items()}
    return [data(part) for part in value] if isinstance(value, list | tuple) else value
