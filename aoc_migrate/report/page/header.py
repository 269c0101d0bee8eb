"""The header of a page: what binds it to a database and a time, and the verdicts."""

from collections.abc import Iterator
from typing import NamedTuple

from aoc_migrate import __version__
from aoc_migrate.report.formatting import duration, utc_time
from aoc_migrate.report.model import Report
from aoc_migrate.report.verdict import revision_and_head, verdict, word

KINDS = {"PASSED": "ok", "HELD": "warning", "FINDINGS": "error", "FAILED": "error"}
_MEANINGS = {0: "clean", 1: "see the findings", 2: "usage or configuration", 3: "try again later"}
_MEANINGS |= {4: "failed half way, or verify failed"}
_WORST_LAST = ("PASSED", "HELD", "FINDINGS", "FAILED")


class Verdict(NamedTuple):
    """The verdict on one target: its word, what else it says, and what binds it."""

    target: str
    word: str
    kind: str
    said: str
    bound: list[tuple[str, str]]


class Header(NamedTuple):
    """The whole verdict, what else it says, what the reports share, and a verdict for each target."""

    word: str
    kind: str
    said: str
    shared: list[tuple[str, str]]
    verdicts: list[Verdict]


def header(reports: list[Report], exit_code: int) -> Header:
    """Return the header of a page over some reports."""
    whole = max(map(word, reports), key=_WORST_LAST.index)
    whole = "FAILED" if exit_code and KINDS[whole] != "error" else whole
    tickets = dict.fromkeys(report.ticket for report in reports if report.ticket)
    shared = [("ticket", ", ".join(tickets))] if tickets else []
    shared += [("made by", f"aoc-migrate {__version__}"), *_times(reports)]
    said = f"exit code {exit_code}: {_MEANINGS[exit_code]}"
    verdicts = [verdict_on(report) for report in reports]
    said = f"{verdicts[0].said} ({said})" if len(verdicts) == 1 else said
    return Header(whole, KINDS[whole], said, shared, verdicts)


def _times(reports: list[Report]) -> Iterator[tuple[str, str]]:
    """Yield when the first report began and the last one ended, in UTC."""
    begun, ended = min(r.started_at for r in reports), [r.ended_at for r in reports if r.ended_at]
    yield "began", utc_time(begun)
    if ended:
        yield "ended", utc_time(max(ended))


def verdict_on(report: Report) -> Verdict:
    """Return the verdict of a report, and what binds it."""
    first, _, rest = verdict(report).partition(": ")
    name, _, limit = first.partition(" ")
    return Verdict(report.target, name, KINDS[name], f"{limit}: {rest}".removeprefix(": "), list(_bound(report)))


def _bound(report: Report) -> Iterator[tuple[str, str]]:
    yield from report.place.known.items()
    more = {
        "revision": revision_and_head(report).removeprefix("revision "),
        "run": None if report.run is None else str(report.run),
        "approved plan": report.plan,
        "took": None if report.seconds is None else duration(report.seconds),
    }
    yield from ((name, value) for name, value in more.items() if value)
