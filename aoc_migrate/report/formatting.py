"""What every form of a report says in the same words: verdict, place, order of findings, values without tricks.

Ids and vendor names come from outside: what is not printable is shown escaped, so that no control character
reaches a terminal, and none turns the direction of a text or hides in it.
"""

import json
from typing import Any

from aoc_migrate.report.model import Finding, Report

_UNITS = {"_bytes": "", "_seconds": " s", "_ms": " ms"}


def plain(value: Any) -> str:
    """Return ``value`` as one line of printable text."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def cell(value: Any) -> str:
    """Return a value for a cell of a table; nothing is a dash."""
    return "-" if value is None or value == [] else plain(value)


def numeric(value: Any) -> bool:
    """Return whether a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def shown(value: Any) -> str:
    """Return a value as people read it: numbers with thousands apart, nothing as a dash."""
    return f"{value:,}" if numeric(value) else cell(value)


def label(key: str) -> str:
    """Return the name of a fact or a column as people read it."""
    return plain(key).replace("_", " ")


def fact(key: str, value: Any) -> tuple[str, Any]:
    """Return the name and the value of a fact as people read them: the unit stands beside the number."""
    unit = next((unit for unit in _UNITS if key.endswith(unit) and numeric(value)), None)
    if unit is None:
        return label(key), value
    said = _bytes(value) if unit == "_bytes" else f"{value:,}".removesuffix(".0") + _UNITS[unit]
    return label(key.removesuffix(unit)), said


def _bytes(value: float) -> str:
    size, units = float(value), ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:.0f} {units[0]}"


def verdict(report: Report) -> str:
    """Return whether all is well, how many findings there are, and whether anything was changed."""
    errors = len(report.errors)
    warnings = sum(f.severity == "warning" for f in report.findings)
    found = f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}"
    changed = "changed" if report.changed else "nothing changed"
    return f"{'OK' if not errors else 'NOT OK'}: {found}; {changed}"


def place(report: Report) -> str:
    """Return the revision that the database is at, and the head; nothing where there is no history."""
    if report.head is None:
        return ""
    if not report.reached:
        return f"revision unknown (head {report.head})"
    return plain(f"{report.revision or 'base'} (head {report.head})")


def sentence(report: Report) -> str:
    """Return verdict and place in one line of prose."""
    at = place(report).removeprefix("revision ")
    return f"{verdict(report)}.{f' Revision {at}.' if at else ''}"


def by_severity(findings: list[Finding]) -> list[Finding]:
    """Return errors first, then warnings, then what is only worth knowing."""
    return sorted(findings, key=lambda finding: ("error", "warning", "info").index(finding.severity))


def last_words(command: str, reports: list[Report], most: int = 4096) -> str:
    """Return what stopped the run and what to type next, in at most ``most`` bytes of UTF-8.

    That is what Kubernetes keeps of a termination message. A report that stopped nothing is not in it.
    """
    lines = []
    for report in reports:
        if report.exit_code:
            lines.append(f"{command} {plain(report.target)}: {verdict(report)}; exit code {report.exit_code}")
            for finding in report.errors:
                lines.append(f"{finding.slug} {plain(finding.subject)}: {plain(finding.problem)}")
                lines.append(f"-> {plain(finding.help)}")
    whole = "\n".join(lines).encode()
    return whole.decode() if len(whole) <= most else whole[: most - 3].decode(errors="ignore") + "…"
