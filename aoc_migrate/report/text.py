"""Reports as text for people: the verdict, what to type next, the findings, then the facts.

A report fits one screen if shorter samples can make it fit. Commands to copy are alone on their lines.
"""

from collections.abc import Iterator

from aoc_migrate.report.commands import split
from aoc_migrate.report.formatting import by_severity, grouped, plain, title
from aoc_migrate.report.look import Look, Verbosity
from aoc_migrate.report.messages import MESSAGES
from aoc_migrate.report.model import Finding, Report
from aoc_migrate.report.screen import COMMAND, Screen
from aoc_migrate.report.tables import Table, lists, named, sample_table, states, step_table, summary, tables
from aoc_migrate.report.verdict import STYLES, bound_lines, fact_pairs, headline, longest_stall, next_lines

SAMPLE_ROWS = 5
_DENSITIES = [*((rows, True) for rows in range(SAMPLE_ROWS, 0, -1)), (1, False), (0, False)]
_PROMPT = 2  # lines of the screen: the command, and the next prompt
_MARK = {"error": ("ERROR", "bold red"), "warning": ("warning", "bold yellow"), "info": ("info", "bold blue")}


def text(command: str, reports: list[Report], look: Look) -> str:
    """Return the reports of a command."""
    drawn = [_fitted(command, report, look) for report in reports]
    if sum(map(len, drawn)) + len(drawn) > look.height:
        drawn += [_Page(look, 0, airy=False).ended(command, report) for report in reports if report.next]
    return "\n".join("\n".join(lines) + "\n" for lines in drawn)


def _fitted(command: str, report: Report, look: Look) -> list[str]:
    """Return the lines of a report, with shorter samples and no empty lines where that makes it fit the screen."""

    def drawn(rows: int, airy: bool) -> list[str]:
        return _Page(look, rows, airy=airy).drawn(command, report)

    def fits(lines: list[str]) -> bool:
        return look.verbosity == Verbosity.VERBOSE or len(lines) <= look.height - _PROMPT

    first, *others, last = _DENSITIES
    lines = drawn(*first)
    if fits(lines):
        return lines
    shortest = drawn(*last)
    if not fits(shortest):  # nor does any other
        return shortest
    return next(filter(fits, (drawn(*density) for density in others)), shortest)


class _Page:
    """One report on a screen; samples have at most ``rows`` rows, and ``airy`` separates parts by empty lines."""

    def __init__(self, look: Look, rows: int, *, airy: bool) -> None:
        self.look, self.rows, self.airy = look, rows, airy
        self.screen = Screen(look)

    def drawn(self, command: str, report: Report) -> list[str]:
        """Return the lines of the report."""
        self._verdict(command, report)
        for name, bound in bound_lines(report):
            self.screen.prose(bound, 2, f"{name}: ", style="dim")
        self._findings(report.findings)
        self._facts(report)
        return self.screen.lines()

    def ended(self, command: str, report: Report) -> list[str]:
        """Return the verdict and what to do next, for the end of an output that is longer than the screen."""
        self._verdict(command, report)
        return self.screen.lines()

    def _verdict(self, command: str, report: Report) -> None:
        name, rest = headline(command, report, self.look.width)
        self.screen.line(name, style=STYLES[name], rest=rest)
        self._next(report)

    def _next(self, report: Report) -> None:
        for name, texts in next_lines(report.next):
            if name == "note":
                self.screen.prose(texts[0], 2, "note: ")
                continue
            self.screen.line(f"{name}:", 2)
            for command in texts:
                self.screen.line(command, 4, COMMAND)

    def _findings(self, findings: list[Finding]) -> None:
        for group in _groups(findings, whole=self.look.verbosity == Verbosity.VERBOSE):
            self._gap()
            self._finding(group)
        if findings:
            self._gap()
            self.screen.line("to explain a finding:", 2)
            self.screen.line(f"aoc-migrate explain {by_severity(findings)[0].slug}", 4, COMMAND)

    def _gap(self) -> None:
        if self.airy:
            self.screen.line("")

    def _finding(self, group: list[Finding]) -> None:
        """Draw a finding, or several that differ only in their subjects."""
        finding, screen = group[0], self.screen
        name, style = _MARK[finding.severity]
        code = f" {finding.code}" if finding.code else ""
        subject = plain(finding.subject) if len(group) == 1 else f"({len(group):,})"
        screen.line(name, 2, style, f" {finding.slug}{code} {subject}")
        many = MESSAGES[finding.slug].many if len(group) > 1 else ""
        if many:
            screen.prose(many.format(count=f"{len(group):,}"), 4)
            screen.prose(", ".join(map(_subject, group)), 4)
        else:
            for each in group:
                screen.prose(each.problem, 4)
        self._help(finding)
        if finding.statement and self.look.verbosity == Verbosity.VERBOSE:
            for line in finding.statement.split("\n"):
                screen.line(plain(line), 7, COMMAND)
        if sample := [row for each in group for row in each.sample]:
            self._sample(sample_table("sample", sample), 7, sum(each.count or each.rows or 0 for each in group))

    def _help(self, finding: Finding) -> None:
        """Draw what to do, with each command alone on its line."""
        first = "-> "
        for part, is_command in split(plain(finding.help)):
            if is_command:
                self.screen.line(part, 9, COMMAND)
            elif part:
                self.screen.prose(part, 4, first)
            first = "   "

    def _sample(self, table: Table, indent: int, total: int = 0) -> None:
        """Draw the first rows, and how many there are more of ``total``; a single column needs no heading."""
        if self.rows or self.look.verbosity == Verbosity.VERBOSE:
            self.screen.table(table, indent, self.rows, header=len(table.columns) > 1)
        more = max(total, len(table.rows)) - self.rows
        if more > 0 and self.look.verbosity < Verbosity.VERBOSE:
            what = "more" if self.rows else f"row{'s' * (more != 1)} not shown"
            self.screen.line(f"{more:,} {what}: --format json", indent)

    def _facts(self, report: Report) -> None:
        whole = self.look.verbosity == Verbosity.VERBOSE
        pairs = list(fact_pairs(report, whole=whole))
        pairs += [(title(field), ", ".join(map(plain, field.value))) for field in lists(report)]
        pairs += [(title(f), summary(f) or ", ".join(named(f))) for f in states(report) if whole or not f.detail]
        pairs += [_sizes(table) for table in tables(report) if table.bars]
        if longest := longest_stall(report):
            pairs.append(("longest stall", plain(longest.statement)))
        if pairs:
            self._gap()
            self.screen.named(pairs, 2)
        for table in (table for table in tables(report) if not table.bars and (whole or not table.detail)):
            self._gap()
            self.screen.line(f"{table.title}:", 2)
            if table.sample:
                self._sample(table, 4)
            else:
                self.screen.table(table, 4)
            if whole:
                self._below(table)
        if report.steps:
            self._gap()
            self.screen.line("steps:", 2)
            self.screen.table(step_table("steps", report), 4)

    def _below(self, table: Table) -> None:
        """Draw the lines that belong to each row."""
        for row, lines in zip(table.rows, table.lines, strict=False):
            if lines:
                self.screen.line("")
                self.screen.line(" ".join(cell.text for cell in row[:3]), 4)
            for line in (part for each in lines for part in each.split("\n")):
                self.screen.line(plain(line), 6, COMMAND)


def _groups(findings: list[Finding], *, whole: bool) -> Iterator[list[Finding]]:
    """Yield the findings by severity; those of one slug and with one help are together, unless ``whole``."""
    if whole:
        yield from ([finding] for finding in by_severity(findings))
        return
    yield from grouped(findings)


def _subject(finding: Finding) -> str:
    rows = f" ({finding.rows:,} row{'s' * (finding.rows != 1)})" if finding.rows else ""
    return plain(finding.subject) + rows


def _sizes(table: Table) -> tuple[str, str]:
    """Return a table of sizes as a fact: "documents by revisions", "1: 1,200; 2: 40"."""
    name, value = table.columns
    return f"{value} by {name}", "; ".join(f"{item.text}: {size.text}" for item, size in table.rows)
