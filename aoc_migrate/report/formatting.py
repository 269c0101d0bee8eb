"""What the formats of a report share: printable values, units, and the order of findings.

Ids and vendor names come from outside. Characters that are not printable are escaped, so that no control character
reaches a terminal, and none reverses or hides text.
"""

import json
from datetime import datetime
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
    """Return a value for a cell of a table: yes or no for a bool, a dash for None and for empty lists."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None or value in ([], ()) else plain(value)


def shortened(text: str, length: int) -> str:
    """Return the text, cut to ``length`` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def numeric(value: Any) -> bool:
    """Return whether a value is a number but not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def shown(value: Any, unit: Unit | None = None) -> str:
    """Return a value for people: a number with separators and its unit, None as a dash, () and {} as "none"."""
    if value in ((), {}):
        return "none"
    if not numeric(value):
        return cell(value)
    if unit is None:
        return f"{value:,}"
    return duration(value * unit.seconds) if unit.seconds else bytes_shown(value)


def duration(seconds: float) -> str:
    """Return a time in two units at most: 3.2 ms, 850 ms, 4.1 s, 2 min 5 s, 3 h 12 min, 2 d 4 h."""
    if seconds < 0.9995:
        return f"{_rounded(seconds * 1000)} ms"
    if seconds < 59.95:
        return f"{_rounded(seconds)} s"
    whole = round(seconds)
    for large, small, size, name, part in ((86400, 3600, 86400, "d", "h"), (3600, 60, 3600, "h", "min")):
        if whole >= size - small / 2:
            parts = round(whole / small)
            return _two(parts, large // small, name, part)
    return _two(whole, 60, "min", "s")


def seconds_shown(seconds: float) -> str:
    """Return a time as `duration` does, in whole seconds: what is measured or repeated every second."""
    return duration(round(seconds)) if round(seconds) else "0 s"


def utc_time(moment: datetime) -> str:
    """Return an aware UTC time as text: ISO 8601, to the second."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _two(parts: int, each: int, large: str, small: str) -> str:
    whole, rest = divmod(parts, each)
    return f"{whole:,} {large}{f' {rest} {small}' if rest else ''}"


def _rounded(number: float) -> str:
    """Return a number below 1,000 with at most one decimal, and none from 100."""
    return f"{number:.0f}" if number >= 99.95 else f"{number:.1f}".removesuffix(".0")


def bytes_shown(value: float) -> str:
    """Return a size in its largest unit of at least 1: 512 bytes, 20 GB."""
    size, units = float(value), ["bytes", "kB", "MB", "GB", "TB"]
    while abs(size) >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:.0f} {units[0]}"


def label(name: str) -> str:
    """Return the name of a column for people."""
    return plain(name).replace("_", " ")


def title(field: Field) -> str:
    """Return the name of a field for people, without its unit, which follows the number."""
    if field.title:
        return field.title.text
    return label(field.name.removesuffix(field.unit.suffix) if field.unit else field.name)


def by_severity(findings: list[Finding]) -> list[Finding]:
    """Return errors, then warnings, then infos."""
    return sorted(findings, key=lambda finding: ("error", "warning", "info").index(finding.severity))


def grouped(findings: list[Finding]) -> list[list[Finding]]:
    """Return the findings by severity; those of one slug and with one help are together."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in by_severity(findings):
        groups.setdefault((finding.severity, finding.slug, finding.help), []).append(finding)
    return list(groups.values())
