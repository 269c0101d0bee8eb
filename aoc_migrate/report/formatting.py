"""What the formats of a report share: printable values, units, and the order of findings.

Ids and vendor names come from outside. Characters that are not printable are escaped, so that no control character
reaches a terminal, and none reverses or hides text.
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
    """Return a value for a cell of a table; None and empty lists are a dash."""
    return "-" if value is None or value in ([], ()) else plain(value)


def shortened(text: str, length: int) -> str:
    """Return the text, cut to ``length`` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def numeric(value: Any) -> bool:
    """Return whether a value is a number but not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def shown(value: Any, unit: Unit | None = None) -> str:
    """Return a value for people: numbers with thousands separators and their unit, None as a dash."""
    if not numeric(value):
        return cell(value)
    if unit is not None and not unit.text:
        return _bytes(value)
    return f"{value:,}" if unit is None else f"{value:,}".removesuffix(".0") + unit.text


def _bytes(value: float) -> str:
    size, units = float(value), ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:.0f} {units[0]}"


def label(name: str) -> str:
    """Return the name of a column for people."""
    return plain(name).replace("_", " ")


def title(field: Field) -> str:
    """Return the name of a field for people, without its unit, which follows the number."""
    return label(field.name.removesuffix(field.unit.suffix) if field.unit else field.name)


def by_severity(findings: list[Finding]) -> list[Finding]:
    """Return errors, then warnings, then infos."""
    return sorted(findings, key=lambda finding: ("error", "warning", "info").index(finding.severity))


def duration(seconds: float) -> str:
    """Return a duration for people in one or two units: 12 s, 4 min 10 s, 1 h 5 min, 2 d 3 h."""
    whole, parts = max(0, round(seconds)), []
    for name, length in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, whole = divmod(whole, length)
        parts.append((count, name))
    first = next((n for n, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(f"{count:,} {name}" for count, name in parts[first : first + 2] if count) or "0 s"
