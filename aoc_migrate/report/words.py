"""What every form of a report says in the same words: verdict, place, order of findings, values without tricks.

Ids and vendor names come from outside: control characters are shown escaped, so none reaches a terminal or turns
the direction of a text.
"""

import json
import re
from typing import Any

from aoc_migrate.report.model import Finding, Report

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain(value: Any) -> str:
    """Return ``value`` as one line of text without control characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return _CONTROL.sub(lambda m: f"\\x{ord(m.group()):02x}", text.replace("\n", "\\n").replace("\t", "\\t"))


def cell(value: Any) -> str:
    """Return a value for a cell of a table; nothing is a dash."""
    return "-" if value is None or value == [] else plain(value)


def label(key: str) -> str:
    """Return the name of a fact or a column as people read it."""
    return key.removesuffix("_bytes").replace("_", " ")


def value_of(key: str, value: Any) -> Any:
    """Return a fact as people read it: bytes in a unit that fits."""
    if not key.endswith("_bytes"):
        return value
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
    return f"{report.revision or 'base'} (head {report.head})"


def by_severity(findings: list[Finding]) -> list[Finding]:
    """Return errors first, then warnings, then what is only worth knowing."""
    return sorted(findings, key=lambda finding: ("error", "warning", "info").index(finding.severity))
