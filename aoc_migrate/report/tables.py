"""The facts and steps of a report by shape: single values, lists, mappings and tables."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, NamedTuple

from aoc_migrate.report.fields import Field, Unit, fields_of
from aoc_migrate.report.formatting import label, numeric, plain, shown, title
from aoc_migrate.report.model import Report

_NOT_SHOWN: dict[str, Any] = dict.fromkeys(("batches", "longest_ms", "pauses"))


class Cell(NamedTuple):
    """A value in a table, and its text for people."""

    text: str
    value: Any

    @property
    def empty(self) -> bool:
        """Whether there is no value."""
        return self.value is None or self.value in ([], ())


class Table(NamedTuple):
    """Rows with the same columns. ``bars``: the last column is drawn as bars; ``sample``: there are more rows.

    Unless everything is asked for, text leaves out a ``detail`` altogether, ``hidden`` columns if the others leave
    no room for them, and the ``lines`` below each row.
    """

    title: str
    columns: list[str]
    rows: list[list[Cell]]
    bars: bool = False
    sample: bool = False
    detail: bool = False
    hidden: frozenset[int] = frozenset()
    lines: tuple[tuple[str, ...], ...] = ()

    def numbers(self) -> list[bool]:
        """Return for each column whether it has only numbers."""
        return [
            all(row[n].value is None or numeric(row[n].value) for row in self.rows)
            for n in range(len(self.columns))
        ]


def scalars(report: Report) -> list[Field]:
    """Return the facts that are one value, or an empty list or mapping."""
    return [f for f in _facts(report) if not isinstance(f.value, tuple | Mapping) or not f.value]


def lists(report: Report) -> list[Field]:
    """Return the facts that are a list of strings."""
    return [f for f in _collections(report) if isinstance(f.value, tuple) and not is_dataclass(f.value[0])]


def states(report: Report) -> list[Field]:
    """Return the facts that are mappings, except those with sizes to compare."""
    return [f for f in _collections(report) if isinstance(f.value, Mapping) and not (f.pairs and f.pairs.bars)]


def tables(report: Report) -> list[Table]:
    """Return the facts that are lists of records, or mappings with sizes to compare."""
    found = []
    for field in _collections(report):
        if field.pairs and field.pairs.bars:
            rows = [[_cell(name), _cell(value)] for name, value in field.value.items()]
            found.append(Table(title(field), [field.pairs.name, field.pairs.value], rows, bars=True))
        elif isinstance(field.value, tuple) and is_dataclass(field.value[0]):
            found.append(
                record_table(title(field), field.value)._replace(sample=field.sample, detail=field.detail)
            )
    return found


def summary(field: Field) -> str:
    """Return one line: the most frequent value of a mapping and the names that differ, or the sum of counts.

    It is empty if all values differ, or name something.
    """
    if field.pairs and field.pairs.counts:
        listed = [plain(name) if n == 1 else f"{plain(name)} ({n:,})" for name, n in field.value.items()]
        return f"{sum(field.value.values()):,}: {', '.join(listed)}"
    if field.pairs and field.pairs.ids:
        return ""
    common, times = Counter(map(plain, field.value.values())).most_common(1)[0]
    if times == 1:
        return ""
    if times == len(field.value):
        return f"{times}, all {common}"
    others = [f"{plain(name)} {plain(value)}" for name, value in field.value.items() if plain(value) != common]
    return f"{times} of {len(field.value)} {common}; {', '.join(others)}"


def named(field: Field) -> list[str]:
    """Return each name of a mapping with its value."""
    if field.pairs and field.pairs.ids:
        return [f"{plain(name)} ({field.pairs.value} {value})" for name, value in field.value.items()]
    return [f"{plain(name)}: {shown(value)}" for name, value in field.value.items()]


def record_table(title_: str, records: Sequence[Any]) -> Table:
    """Return dataclasses of one kind as a table, with the columns that any of them has, in their order."""
    rows = [{field.name: field for field in fields_of(record)} for record in records]
    found = {name: field for row in reversed(rows) for name, field in row.items()}
    names = [field.name for field in fields(records[0]) if field.name in found]
    below = [name for name in names if found[name].detail and isinstance(found[name].value, tuple)]
    columns = [name for name in names if name not in below]
    cells = [[_cell(row[n].value, row[n].unit) if n in row else Cell("-", None) for n in columns] for row in rows]
    return Table(
        title_,
        [title(found[name]) for name in columns],
        cells,
        hidden=frozenset(n for n, name in enumerate(columns) if found[name].detail),
        lines=tuple(tuple(line for name in below if name in row for line in row[name].value) for row in rows),
    )


def step_table(title_: str, report: Report) -> Table:
    """Return the steps as a table. The JSON has more fields.

    Steps of a rehearsal have a phase, WAL and growth, and no room for more.
    """
    table = record_table(title_, [replace(step, **_NOT_SHOWN) for step in report.steps])
    hidden = {"attempts"} if all(step.attempts == 1 for step in report.steps) else set()
    hidden |= {"estimate", "rows", "kept"} if any(step.phase for step in report.steps) else set()
    return table._replace(hidden=frozenset(n for n, name in enumerate(table.columns) if name in hidden))


def sample_table(title_: str, sample: list[dict[str, Any]]) -> Table:
    """Return the sample of a finding as a table."""
    names = list(dict.fromkeys(name for row in sample for name in row))
    return Table(title_, [label(name) for name in names], [[_cell(row.get(n)) for n in names] for row in sample])


def _cell(value: Any, unit: Unit | None = None) -> Cell:
    return Cell(shown(value, unit), value)


def _facts(report: Report) -> list[Field]:
    return [field for group in report.facts for field in fields_of(group) if not field.only_json]


def _collections(report: Report) -> list[Field]:
    return [field for field in _facts(report) if isinstance(field.value, tuple | Mapping) and field.value]
