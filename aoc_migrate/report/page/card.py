"""Findings as cards: what is wrong, what to do, what the rule says, the query and the sample."""

from collections.abc import Iterator
from typing import NamedTuple

from markupsafe import Markup

from aoc_migrate.report.commands import split
from aoc_migrate.report.explanation import explanations
from aoc_migrate.report.formatting import cell, grouped, plain, shortened
from aoc_migrate.report.model import Finding, Report
from aoc_migrate.report.page.grid import LONGEST, Part, part
from aoc_migrate.report.page.prose import markup
from aoc_migrate.report.tables import sample_table

SAMPLE_ROWS = 50  # of a finding; the rest is in the JSON
PAGE_ROWS = 5000  # of all findings of a page


class Sample(NamedTuple):
    """The sample of a finding: a table or blocks, or only ids."""

    summary: str
    part: Part
    name: str
    ids: list[str] | None


class Place(NamedTuple):
    """Where something was found: the finding itself and its sample."""

    finding: Finding
    sample: Sample | None


class Card(NamedTuple):
    """A finding, or several that differ only in where they are.

    ``anchor`` is set where it is the first of its slug in the report, ``rule`` where it is the first on the page;
    the others link to ``about``, that rule.
    """

    anchor: str
    help: list[tuple[str, bool]]
    rule: Markup | None
    about: str
    places: list[Place]


class Cards:
    """Makes the cards of a page: a rule is on it once, and samples have `PAGE_ROWS` rows in all."""

    def __init__(self) -> None:
        self._explained: set[str] = set()
        self._left = PAGE_ROWS

    def of(self, report: Report, place: str) -> Iterator[Card]:
        """Yield the cards of a report, errors first; ``place`` begins their anchors."""
        seen: set[str] = set()
        for group in grouped(report.findings):
            slug, known = group[0].slug, explanations().get(group[0].slug)
            yield Card(
                f"{place}-{slug}" if known and slug not in seen else "",
                [(text, command) for text, command in split(plain(group[0].help)) if text],
                markup(known.text) if known and slug not in self._explained else None,
                f"rule-{slug}" if known else "",
                [Place(finding, self._sample(finding) if finding.sample else None) for finding in group],
            )
            seen.add(slug)
            self._explained.add(slug)

    def _sample(self, finding: Finding) -> Sample:
        rows = len(finding.sample)
        shown = finding.sample[: min(SAMPLE_ROWS, self._left)]
        self._left -= len(shown)
        more = rows - len(shown)
        summary = f"Sample: {rows:,} row{'s' * (rows != 1)}" + (
            f", {more:,} of them only in the JSON" if more else ""
        )
        found = part(f"Sample of {finding.slug} on {finding.subject}", sample_table("sample", shown))
        name = next(iter(finding.sample[0]))
        only_ids = shown and list(shown[0]) == [name]
        ids = [shortened(cell(row[name]), LONGEST) for row in shown] if only_ids else None
        return Sample(summary, found, name, ids)
