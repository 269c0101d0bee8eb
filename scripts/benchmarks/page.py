"""The page docs/performance.md, from what was measured. Pure: the same results make the same page."""

import textwrap
from typing import Any

from scripts.benchmarks.growth import FAR, STEPS, VERBS, extended
from scripts.benchmarks.results import HEAD, Ratio, line

WHY = {
    "duplicate audit with an index": "one process reads the index and compares keys, while several read the table",
    "backfill": "its time has the journal in it, and the scan that proves that no link is wrong; one UPDATE has "
    "neither",
    "backfill at half pace": "as the backfill",
    "size of the table and the journal": "the links are most of what the table grows by, and the journal keeps "
    "two ids for each",
}
"""What keeps a bound from being held that was not held yet."""

MEANING = {
    "CPU of the proof": "the proof is VALIDATE CONSTRAINT, which calls the functions of the rules for every row. "
    "What it is against is a scan by one process that looks at the same values: the type of every small JSON "
    "column, whether a key is empty, whether the time is finite; and for 0007 the type of the document, which has "
    "to be fetched and decompressed for it. The CPU time of the backend is the middle of shuffled rounds",
    "CPU of an INSERT": "one row with one INSERT that the server has prepared, as a service stores a document, a "
    "hundred in a transaction. Both tables have the same three indexes; one has all CHECKs, which call functions, "
    "and NOT NULLs. PostgreSQL parses a stored CHECK again for every statement: this shows what COPY hides. "
    "Without a document there is less to store, and the same addition is a larger part",
    "CPU of COPY": "the same rows a thousand at a time: what the rules cost a row once a statement has begun",
    "CPU of a session's first INSERT": "a new session loads the catalog, and PL/pgSQL compiles each function once",
    "CPU of an UPDATE": "the link of a thousand rows is set by one statement, and each row's CHECKs run again. "
    "The one on content decompresses the document; so it is added after the backfill",
    "constraints and key": "the scripts that psql runs have the names that the guide gives, and are our own",
}
"""What rows of the table are, by the beginning of their names; told where there are such rows."""


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

Written by `scripts/bench --write` from what it measured; [performance.json](performance.json) holds the figures.
Both sides of a ratio were measured in one run on {about["machine"]}, Python {about["python"]},
PostgreSQL {about["postgresql"]}. The server syncs and keeps full pages; {about["settings"]};
autovacuum is off, so that two runs of one thing are the same. {about["rows"]:,} rows of the seed
{about["seed"]}: chains of 2.6 revisions on average with ids in no order, {documents}. Times differ from
machine to machine, and ratios of one run less. What is counted comes from the server's counters; only scans are
the same on any machine, because the size of a batch follows the clock, and full pages in the WAL follow the
checkpoints.

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

What `plan` expected of the steps with {last["rows"]:,} rows, from a sample of a thousand pages, and what they
took:

{_estimates(last["steps"])}

## Who waits

Two writers and a reader work at a fixed rate of 100 statements a second each while a migration of
{about["rows"]:,} rows runs; a wait counts from the moment at which the statement was due.

{_stalls(results["stalls"])}
"""


def _meanings(ratios: list[Ratio]) -> str:
    """Return what the rows mean: of those that measure what they say, not of those of an older bench."""
    own = [ratio.what for ratio in ratios if "the guide's" not in ratio.other_is]
    told = [f"- {name}: {words}." for name, words in MEANING.items() if any(what.startswith(name) for what in own)]
    listed = (textwrap.fill(line, 115, subsequent_indent="  ") for line in told)
    return "\n".join(["What these rows mean:", "", *listed, "", ""]) if told else ""


def _missed(missed: list[str]) -> str:
    if not missed:
        return "Every bound held in this run."
    told = (f"{name}: {WHY[name]}." if name in WHY else f"{name}." for name in missed)
    listed = (textwrap.fill(f"- {line}", 115, subsequent_indent="  ") for line in told)
    return "\n".join(["Bounds that did not hold in this run:", "", *listed])


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
        "The last line is no measurement: it extends the line through the last two sizes, or in proportion where\n"
        "that is more, for a table and a cache in the same proportion. Where the table is far larger than\n"
        "memory, the disk decides; `plan` measures there."
    )


def _long(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _memory(found: list[dict[str, Any]]) -> str:
    first, last = found[0], found[-1]
    told = ", ".join(f"`{verb}` {first[f'{verb}_mib']} and {last[f'{verb}_mib']} MiB" for verb in VERBS)
    return f"{told}, at {first['rows']:,} and {last['rows']:,} rows."


def _estimates(steps: dict[str, dict[str, float]]) -> str:
    rows = "".join(
        f"| {name} | {_long(steps[name]['estimated'])} | {_long(steps[name]['took'])} |\n" for name in STEPS
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
