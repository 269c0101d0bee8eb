"""What several forms of a report share: values without tricks, their units, and the order of findings.

Ids and vendor names come from outside: what is not printable is shown escaped, so that no control character
reaches a terminal, and none turns the direction of a text or hides in it.
"""

import json
from typing import Any

from aoc_migrate.report.fields import Field, Unit
from aoc_migrate.report.model import Finding


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


def by_severity(findings: list[Finding]) -> list[Finding]:
    """Return errors first, then warnings, then what is only worth knowing."""
    return sorted(findings, key=lambda finding: ("error", "warning", "info").index(finding.severity))
