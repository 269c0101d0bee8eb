"""The verdict on a target, and brief reports, which need no library."""

from collections.abc import Iterator

from aoc_migrate.report.formatting import plain, shown, title
from aoc_migrate.report.model import Next, Report
from aoc_migrate.report.tables import lists, scalars, states, tables


def verdict(report: Report) -> str:
    """Return one line: OK, HELD or NOT OK, the number of errors and warnings, and whether anything changed.

    The OK of a verify below head is limited to the revision whose promises it checked.
    """
    errors, warnings = len(report.errors), sum(f.severity == "warning" for f in report.findings)
    found = f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}"
    changed = "changed" if report.changed else "nothing changed"
    return f"{_word(report)}: {found}; {changed}"


def _word(report: Report) -> str:
    if report.errors:
        return "NOT OK"
    slugs = {finding.slug for finding in report.findings}
    if slugs & {"held", "rollback-unfinished"}:
        return "HELD"
    return f"OK up to {report.revision}" if "not-at-head" in slugs else "OK"


def revision_and_head(report: Report) -> str:
    """Return the revision of the database and the head, or nothing for a report without a history."""
    if report.head is None:
        return ""
    if not report.reached:
        return f"revision unknown (head {report.head})"
    return plain(f"{report.revision or 'base'} (head {report.head})")


def sentence(report: Report) -> str:
    """Return the verdict and the revision as prose."""
    at = revision_and_head(report).removeprefix("revision ")
    return f"{verdict(report)}.{f' Revision {at}.' if at else ''}"


def brief(report: Report) -> bool:
    """Return whether a report has only a verdict and single values."""
    return not (report.findings or report.steps or tables(report) or states(report) or lists(report))


def brief_text(command: str, report: Report) -> str:
    """Return a brief report as text."""
    return "\n".join([heading(command, report), *fact_lines(report), *ending(report)]) + "\n"


def heading(command: str, report: Report) -> str:
    """Return the first line of a report."""
    at = revision_and_head(report)
    return f"{command} {plain(report.target)}{f': {at}' if at else ''}"


def fact_lines(report: Report) -> Iterator[str]:
    """Yield a line for each fact that is one value."""
    for field in scalars(report):
        value = "none" if field.value in ((), {}) else shown(field.value, field.unit)
        yield f"  {title(field)}: {value}"


def ending(report: Report) -> Iterator[str]:
    """Yield the verdict and what to do next."""
    yield f"  {verdict(report)}"
    yield from (f"  {name}: {line}" for name, line in next_lines(report.next))


def next_lines(following: Next) -> Iterator[tuple[str, str]]:
    """Yield what to do next, each line with its name: note, next, or."""
    if following.note:
        yield "note", plain(following.note)
    if following.command:
        yield "next", plain(following.command)
    yield from (("or", plain(choice)) for choice in following.choices)


def termination_message(command: str, reports: list[Report], most: int = 4096) -> str:
    """Return what stopped the run and what to type next, in at most ``most`` bytes of UTF-8.

    Kubernetes keeps 4,096 bytes of a termination message. Reports without errors are left out.
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
