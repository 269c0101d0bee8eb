"""The verdict on a target, and brief reports, which need no library."""

import textwrap
from collections.abc import Iterator

from aoc_migrate import __version__
from aoc_migrate.report.formatting import by_severity, duration, plain, shown, title, utc_time
from aoc_migrate.report.look import Look, Verbosity
from aoc_migrate.report.model import FINDINGS, Next, Report, StepReport
from aoc_migrate.report.tables import lists, scalars, states, tables

LINE = "\n  "
PROSE = 100  # columns; longer lines are hard to read
STYLES = {"PASSED": "bold green", "FINDINGS": "bold yellow", "HELD": "bold magenta", "FAILED": "bold red"}
_CODES = {"PASSED": "1;32", "FINDINGS": "1;33", "HELD": "1;35", "FAILED": "1;31"}  # the same, without rich


def word(report: Report) -> str:
    """Return the verdict in one word.

    FINDINGS: something is wrong, and the part that found it changed nothing. FAILED: the command could not do what
    it was asked to do. HELD: a rollback holds the database where it is. Else PASSED.
    """
    if report.errors:
        return "FINDINGS" if report.exit_code == FINDINGS else "FAILED"
    held = {"held", "rollback-unfinished"} & {finding.slug for finding in report.findings}
    return "HELD" if held else "PASSED"


def verdict(report: Report) -> str:
    """Return the verdict in one line: the word, errors and warnings, the result, what changed, the longest stall.

    What a verify below head PASSED is limited to the revision whose promises it checked.
    """
    counts = []
    for severity in ("error", "warning"):
        number = sum(finding.severity == severity for finding in report.findings)
        counts += [f"{number:,} {severity}{'s' * (number != 1)}"] if number else []
    changed = "changed" if report.changed else "nothing changed"
    longest = longest_stall(report) if report.changed else None
    stall = [f"longest stall {duration(longest.stall_ms / 1000)}"] if longest and longest.stall_ms else []
    below = any(finding.slug == "not-at-head" for finding in report.findings) and not report.errors
    upto = f" up to {plain(report.revision)}" if below else ""
    return (
        f"{word(report)}{upto}: {'; '.join([*filter(None, [', '.join(counts), report.result]), changed, *stall])}"
    )


def longest_stall(report: Report) -> StepReport | None:
    """Return the step for which others may have waited longest; None if no step took a strong lock."""
    return max((step for step in report.steps if step.stall_ms), key=lambda step: step.stall_ms or 0, default=None)


def revision_and_head(report: Report) -> str:
    """Return the revision of the database and the head, or nothing for a report without a history."""
    if report.head is None:
        return ""
    if not report.reached:
        return plain(f"revision unknown (head {report.head})")
    if report.revision == report.head:
        return plain(f"{report.head} (head)")
    return plain(f"{report.revision or 'base'} (head {report.head})")


def sentence(report: Report) -> str:
    """Return the verdict and the revision as prose."""
    at = revision_and_head(report).removeprefix("revision ")
    return f"{verdict(report)}.{f' Revision {at}.' if at else ''}"


def headline(command: str, report: Report, width: int | None = None) -> tuple[str, str]:
    """Return the first line of a report: the verdict's word, and the rest.

    A revision that does not fit into ``width`` is on a second line.
    """
    first, colon, rest = verdict(report).partition(":")
    name, _, limit = first.partition(" ")
    at = revision_and_head(report)
    about = " ".join(filter(None, [command, plain(report.target), limit]))
    line = f" {about}{colon}{rest}"
    fits = width is None or len(name) + len(line) + len(at) + 2 <= width
    return name, f"{line}{'; ' if fits else LINE}{at}" if at else line


def wrapped(text: str, width: int, first: str) -> list[str]:
    """Return the lines of a paragraph that begins with ``first``, below which the other lines are indented."""
    room, below = min(width, PROSE), " " * len(first)
    return textwrap.wrap(text, room, initial_indent=first, subsequent_indent=below, break_on_hyphens=False)


def bound_lines(report: Report) -> Iterator[tuple[str, str]]:
    """Yield what binds a report to its database and its time: ``at`` and ``by``."""
    known = report.place.known
    at = [value if name == "server" else f"{name} {value}" for name, value in known.items()]
    if at:
        yield "at", plain(", ".join(at))
    by = [f"aoc-migrate {__version__}", utc_time(report.started_at)]
    if report.ended_at is not None and report.seconds is not None:
        by[-1] += f" to {utc_time(report.ended_at)} ({duration(report.seconds)})"
    by += [f"ticket {report.ticket}"] if report.ticket else []
    by += [f"plan {report.plan}"] if report.plan else []
    by += [f"run {report.run}"] if report.run is not None else []
    yield "by", plain(", ".join(by))


def brief(report: Report) -> bool:
    """Return whether a report has only a verdict and single values."""
    return not (report.findings or report.steps or tables(report) or states(report) or lists(report))


def brief_text(command: str, report: Report, look: Look) -> str:
    """Return a brief report as text, or only the verdict of any report."""
    quiet = look.verbosity is Verbosity.QUIET
    name, rest = headline(command, report, None if quiet else look.width)
    lines = [f"\x1b[{_CODES[name]}m{name}\x1b[0m{rest}" if look.color else name + rest]
    if not quiet:
        for heading, texts in next_lines(report.next):
            if heading == "note":
                lines += wrapped(texts[0], look.width, "  note: ")
            else:
                lines += [f"  {heading}:", *(f"    {text}" for text in texts)]
        for name, bound in bound_lines(report):
            lines += wrapped(bound, look.width, f"  {name}: ")
        pairs = list(fact_pairs(report, whole=look.verbosity is Verbosity.VERBOSE))
        width = max((len(fact) for fact, _ in pairs), default=0)
        lines += [f"  {fact.ljust(width)}  {value}" for fact, value in pairs]
    return "\n".join(lines) + "\n"


def fact_pairs(report: Report, *, whole: bool = False) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each fact that is one value; details only if it is to be ``whole``."""
    for field in scalars(report):
        if whole or not field.detail:
            yield title(field), shown(field.value, field.unit)


def next_lines(following: Next) -> Iterator[tuple[str, list[str]]]:
    """Yield what to do next, by kind: a note, the next command, and what a person may choose instead."""
    if following.note:
        yield "note", [plain(following.note)]
    if following.command:
        yield "next", [plain(following.command)]
    if following.choices:
        yield "or" if following.command else "to go on", [plain(choice) for choice in following.choices]


def termination_message(command: str, reports: list[Report], most: int = 4096) -> str:
    """Return what stopped the run and what to type next, in at most ``most`` bytes of UTF-8.

    Kubernetes keeps 4,096 bytes of a termination message. Reports without errors are left out.
    """
    lines = []
    for report in reports:
        if report.exit_code:
            lines.append(f"{''.join(headline(command, report))}; exit code {report.exit_code}")
            for finding in by_severity(report.errors):
                lines.append(f"{finding.slug} {plain(finding.subject)}: {plain(finding.problem)}")
                lines.append(f"-> {plain(finding.help)}")
    whole = "\n".join(lines).encode()
    return whole.decode() if len(whole) <= most else whole[: most - 3].decode(errors="ignore") + "…"
