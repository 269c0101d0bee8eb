"""What several forms of a report share: values without tricks, units, tables, and the order of findings.

Ids and vendor names come from outside: what is not printable is shown escaped, so that no control character
reaches a terminal, and none turns the direction of a text or hides in it.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass, replace
from typing import Any, NamedTuple

from aoc_migrate.report.fields import Field, Unit, fields_of
from aoc_migrate.report.model import Finding, Report


def plain(value: Any) -> str:
    """Return ``value`` as one line of printable text."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def cell(value: Any) -> str:
    """Return a value for a cell of a table; nothing is a dash."""
    return "-" if value is None or value in ([], ()) else plain(value)


def numeric(value: Any) -> bool:
    """Return whether a value is a number, which true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def shown(value: Any, unit: Unit | None = None) -> str:
    """Return a value as people read it: numbers with thousands apart and their unit, nothing as a dash."""
    if not numeric(value):
        return cell(value)
    if unit is not None and not unit.words:
        return _bytes(value)
    return f"{value:,}" if unit is None else f"{value:,}".removesuffix(".0") + unit.words


def _bytes(value: float) -> str:
    size, units = float(value), ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:.0f} {units[0]}"


def label(name: str) -> str:
    """Return the name of a column as people read it."""
    return plain(name).replace("_", " ")


def title(field: Field) -> str:
    """Return the name of a field as people read it: its unit is behind the number."""
    return label(field.name.removesuffix(field.unit.suffix) if field.unit else field.name)


_LEFT_OUT: dict[str, Any] = dict.fromkeys(("batches", "longest_ms", "pauses"))


class Cell(NamedTuple):
    """A value in a table: what people read, and whether it is a number or missing where one could be."""

    text: str
    number: bool


class Table(NamedTuple):
    """Rows with the same columns. ``bars``: the last column is drawn as bars."""

    title: str
    columns: list[str]
    rows: list[list[Cell]]
    bars: bool = False

    def numbers(self) -> list[bool]:
        """Return of each column whether it holds numbers alone."""
        return [all(row[n].number for row in self.rows) for n in range(len(self.columns))]


def scalars(report: Report) -> list[Field]:
    """Return the facts that are one value, or a list or mapping that is empty."""
    return [f for f in _facts(report) if not isinstance(f.value, tuple | Mapping) or not f.value]


def lists(report: Report) -> list[Field]:
    """Return the facts that are a list of words."""
    return [f for f in _collections(report) if isinstance(f.value, tuple) and not is_dataclass(f.value[0])]


def states(report: Report) -> list[Field]:
    """Return the facts that are names with a value each, but for those that are sizes to compare."""
    return [f for f in _collections(report) if isinstance(f.value, Mapping) and not (f.pairs and f.pairs.bars)]


def tables(report: Report) -> list[Table]:
    """Return the facts that are rows, or sizes to compare."""
    found = []
    for field in _collections(report):
        if field.pairs and field.pairs.bars:
            rows = [[_cell(name), _cell(value)] for name, value in field.value.items()]
            found.append(Table(title(field), [field.pairs.name, field.pairs.value], rows, bars=True))
        elif isinstance(field.value, tuple) and is_dataclass(field.value[0]):
            found.append(record_table(title(field), field.value))
    return found


def summary(values: Mapping[str, Any]) -> str:
    """Return names with a value each in a line that says what most of them have; empty where no two share one."""
    most, times = Counter(map(plain, values.values())).most_common(1)[0]
    if times == 1:
        return ""
    if times == len(values):
        return f"{times}, all {most}"
    others = [f"{plain(name)} {plain(value)}" for name, value in values.items() if plain(value) != most]
    return f"{times} of {len(values)} {most}; {', '.join(others)}"


def named(values: Mapping[str, Any]) -> list[str]:
    """Return each name with its value."""
    return [f"{plain(name)}: {shown(value)}" for name, value in values.items()]


def record_table(title_: str, records: Iterable[Any]) -> Table:
    """Return dataclasses of one kind as a table; a column is there where it applies to one of them."""
    rows = [{field.name: field for field in fields_of(record)} for record in records]
    names = dict.fromkeys(name for row in rows for name in row)
    columns = [title(next(row[name] for row in rows if name in row)) for name in names]
    cells = [[_cell(row[n].value, row[n].unit) if n in row else Cell("-", True) for n in names] for row in rows]
    return Table(title_, columns, cells)


def step_table(title_: str, report: Report) -> Table:
    """Return the steps as a table; the JSON says more of each."""
    return record_table(title_, (replace(step, **_LEFT_OUT) for step in report.steps))


def sample_table(title_: str, sample: list[dict[str, Any]]) -> Table:
    """Return the sample of a finding as a table."""
    names = list(dict.fromkeys(name for row in sample for name in row))
    return Table(title_, [label(name) for name in names], [[_cell(row.get(n)) for n in names] for row in sample])


def _cell(value: Any, unit: Unit | None = None) -> Cell:
    return Cell(shown(value, unit), value is None or numeric(value))


def _facts(report: Report) -> list[Field]:
    return [field for group in report.facts for field in fields_of(group)]


def _collections(report: Report) -> list[Field]:
    return [field for field in _facts(report) if isinstance(field.value, tuple | Mapping) and field.value]


def by_severity(findings: list[Finding]) -> list[Finding]:
    """Return errors first, then warnings, then what is only worth knowing."""
    return sorted(findings, key=lambda finding: ("error", "warning", "info").index(finding.severity))
