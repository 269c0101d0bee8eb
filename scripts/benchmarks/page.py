"""The page docs/performance.md, made from the measurements. Pure: the same results make the same page."""

import textwrap
from typing import Any

from scripts.benchmarks.growth import FAR, STEPS, VERBS, extended
from scripts.benchmarks.results import HEAD, Ratio, line

WHY = {
    "duplicate audit with an index": "one process reads the index and compares keys, while several read the table",
    "backfill": "its time includes the journal, and the scan that proves that no link is wrong; one UPDATE has "
    "neither",
    "backfill at half pace": "the same reasons as for the backfill",
    "size of the table and the journal": "the links are most of what the table grows by, and the journal keeps "
    "two ids for each",
}
"""Why a bound is missed."""

MEANING = {
    "CPU of the proof": "the proof is VALIDATE CONSTRAINT, which calls the functions of the rules for every row. "
    "It is compared with a scan by one process that reads the same values: the type of every small JSON column, "
    "empty keys, whether the time is finite; for 0007 the type of the document, which has to be fetched and "
    "decompressed. The CPU time of the backend is the median of shuffled rounds",
    "CPU of an INSERT": "each row is stored with one prepared INSERT, as a service stores a document; a hundred "
    "rows share a transaction. Both tables have the same three indexes; one has all CHECKs, which call functions, "
    "and NOT NULLs. PostgreSQL parses a stored CHECK again for every statement: INSERT shows that cost, COPY "
    "hides it. Without a document there is less to store, so the same addition is a larger share",
    "CPU of COPY": "the same rows, a thousand at a time, which shows what the rules cost per row of a running "
    "statement",
    "CPU of a session's first INSERT": "a new session loads the catalog, and PL/pgSQL compiles each function once",
    "CPU of an UPDATE": "one statement sets the link of a thousand rows, and each row's CHECKs run again. "
    "The CHECK on content decompresses the document, so it is added after the backfill",
    "constraints and key": "psql runs our own scripts, under the names that the guide gives",
}
"""What rows of the table mean, by the beginning of their names."""


def table(ratios: list[Ratio]) -> str:
    """Return ratios as a Markdown table."""
    return HEAD + "".join(f"{line(ratio)}\n" for ratio in ratios)


def page(results: dict[str, Any]) -> str:
    """Return the whole page."""
    about = results["about"]
    ratios = [Ratio(**row) for row in results["ratios"]]
    last = results["growth"][-1]
    documents = about.get("documents", "documents of 2 to 6 kB")
    missed = [ratio.what for ratio in ratios if not ratio.held]
    return f"""\
# Performance

`scripts/bench --write` measures and writes this page; [performance.json](performance.json) has the figures.
Both sides of a ratio were measured in one run on {about["machine"]}, Python {about["python"]},
PostgreSQL {about["postgresql"]}. fsync and full_page_writes are on; {about["settings"]};
autovacuum is off, so that runs can be compared. The table has {about["rows"]:,} rows, generated with seed
{about["seed"]}: chains of 2.6 revisions on average, with ids in no order, and {documents}. Times differ from
machine to machine; ratios within one run differ less. Counted figures come from the server's counters. Only the
number of scans is the same on every machine: batch sizes depend on the clock, and full pages in the WAL depend
on checkpoints.

```sh
scripts/bench --rows {about["rows"]} --growth {",".join(str(size["rows"]) for size in results["growth"])} --write
```

## Against plain SQL, plain Alembic and psql

{table(ratios)}
{_meanings(ratios)}{_missed(missed)}

## How it grows

![Seconds of audit, upgrade and verify by number of rows](performance.svg)

{_growth(results["growth"])}

Peak memory of the client:
{_memory(results["growth"])}

What `plan` expected the steps to take with {last["rows"]:,} rows, from a sample of a thousand pages, and what
they took:

{_estimates(last["steps"])}

## Who waits

Two writers and a reader send 100 statements a second each while a migration of
{about["rows"]:,} rows runs; each wait is measured from the moment when its statement was due.

{_stalls(results["stalls"])}
"""


def _meanings(ratios: list[Ratio]) -> str:
    """Return what the rows mean, except rows of an older bench."""
    own = [ratio.what for ratio in ratios if "the guide's" not in ratio.other_is]
    lines = [
        f"- {name}: {words}." for name, words in MEANING.items() if any(what.startswith(name) for what in own)
    ]
    listed = (textwrap.fill(line, 115, subsequent_indent="  ") for line in lines)
    return "\n".join(["What these rows mean:", "", *listed, "", ""]) if lines else ""


def _missed(missed: list[str]) -> str:
    if not missed:
        return "Every bound held in this run."
    lines = (f"{name}: {WHY[name]}." if name in WHY else f"{name}." for name in missed)
    listed = (textwrap.fill(f"- {line}", 115, subsequent_indent="  ") for line in lines)
    return "\n".join(["Bounds missed in this run:", "", *listed])


def _growth(found: list[dict[str, Any]]) -> str:
    head = "| rows | " + " | ".join(f"`{verb}`" for verb in VERBS) + " | longest strong lock |\n"
    rows = "".join(
        f"| {size['rows']:,} | "
        + " | ".join(_long(size[verb]) for verb in VERBS)
        + f" | {size['held_ms']:.0f} ms |\n"
        for size in found
    )
    far = " | ".join(f"({_long(extended(found, verb))})" for verb in VERBS)
    return (
        f"{head}| ---: | ---: | ---: | ---: | ---: |\n{rows}| {FAR:,} | {far} | |\n\n"
        "The last line is not measured. It extrapolates from the last two sizes, on a line or in proportion,\n"
        "whichever is more, and assumes that the cache grows with the table. If the table is far larger than\n"
        "memory, the disk decides; `plan` measures on your server."
    )


def _long(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _memory(found: list[dict[str, Any]]) -> str:
    first, last = found[0], found[-1]
    peaks = ", ".join(f"`{verb}` {first[f'{verb}_mib']} and {last[f'{verb}_mib']} MiB" for verb in VERBS)
    return f"{peaks}, at {first['rows']:,} and {last['rows']:,} rows."


def _estimates(steps: dict[str, dict[str, float]]) -> str:
    rows = "".join(
        f"| {name} | {_long(steps[name]['estimated']) if 'estimated' in steps[name] else '-'} "
        f"| {_long(steps[name]['took'])} |\n"
        for name in STEPS
    )
    return f"| step | expected | took |\n| --- | ---: | ---: |\n{rows}".rstrip()


def _stalls(found: list[dict[str, Any]]) -> str:
    rows = "".join(
        f"| {row['name']} | {_long(row['seconds'])} | {row['median_ms']:.1f} ms | {row['late_ms']:,.0f} ms "
        f"| {row['longest_ms']:,.0f} ms | {row['failed']} of {row['statements']:,} |\n"
        for row in found
    )
    head = "| while | took | median wait | 99 % | longest | failed |\n| --- | ---: | ---: | ---: | ---: | ---: |\n"
    return (head + rows).rstrip()
