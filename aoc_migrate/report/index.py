"""The pages of evidence: the index of one run with its files, and the overview of all runs in a folder."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from aoc_migrate.report.html import rendered
from aoc_migrate.report.model import Report
from aoc_migrate.report.page.header import KINDS, Header, header, verdict_on

HOLDS = {
    "plan": "what would run",
    "audit": "what the audit found before any change",
    "upgrade": "the run: steps with their stalls, findings, what to type next",
    "verify": "what holds afterwards",
}
"""The reports of a run in their order, and what each holds."""
OVERVIEW = "Evidence of all runs"
"""The title of the overview."""
_OTHERS = {
    "approved-plan.json": "the plan that was approved",
    "upgrade.sql": "the SQL that ran, which psql can run again",
}


class Entry(NamedTuple):
    """A line of a page: what it is, its verdict, if any, and its files with the words of their links."""

    name: str
    holds: str
    kind: str
    word: str
    said: str
    links: list[tuple[str, str]]


def run_page(target: str, kept: Mapping[str, Report], files: Iterable[str]) -> str:
    """Return the index of a run: its verdict, and the reports that it kept so far with their files."""
    names, entries = sorted(files), []
    for command in (command for command in HOLDS if command in kept):
        own = [name for name in names if name.rpartition(".")[0] == f"{target}-{command}" and name[-4:] != ".sql"]
        own.sort(key=lambda name: not name.endswith(".html"))
        names = [name for name in names if name not in own]
        verdict = verdict_on(kept[command])
        links = [(name, name.rpartition(".")[2]) for name in own]
        entries.append(Entry(command, HOLDS[command], verdict.kind, verdict.word, verdict.said, links))
    entries += [
        Entry(name, _OTHERS.get(name.removeprefix(f"{target}-"), ""), "", "", "", [(name, name)]) for name in names
    ]
    title = f"Evidence: aoc-migrate upgrade {target}"
    return rendered("evidence.html.j2", title=title, header=_header(kept), entries=entries, single="report")


def _header(kept: Mapping[str, Report]) -> Header:
    if "upgrade" in kept:
        return header([kept["upgrade"]], kept["upgrade"].exit_code)
    said = "it runs now, or it was interrupted or killed before it could report"
    return header(list(kept.values())[-1:], 0)._replace(word="UNFINISHED", kind="warning", said=said)


def overview_page(entries: list[Entry], more: int) -> str:
    """Return the overview of runs, the latest first, and how many ``more`` there are."""
    counts = {word: sum(entry.word == word for entry in entries) for word in (*KINDS, "UNFINISHED")}
    said = ", ".join(f"{number:,} {word}" for word, number in counts.items() if number)
    said += f"; {more:,} earlier ones are not listed" if more else ""
    return rendered("evidence.html.j2", title=OVERVIEW, header=None, entries=entries, single="run", said=said)
