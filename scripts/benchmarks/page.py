"""The page docs/performance.md, from what was measured. Pure: the same results make the same page."""

import textwrap
from typing import Any

from scripts.benchmarks.growth import FAR, STEPS, VERBS, extended
from scripts.benchmarks.results import HEAD, Ratio, line

WHY = {
    "proof of 0003": "each rule looks into a value of every row, a JSON object or a text; the plain read looks at "
    "none. The text of the rules is frozen with the revision",
    "CPU of an insert: all CHECKs and NOT NULLs": "as near to the bound as two runs on the same table are to each "
    "other",
    "duplicate audit with an index": "one process reads the index and compares keys, while several read the table",
    "backfill": "its time has the journal in it, and the scan that proves that no link is wrong; one UPDATE has "
    "neither",
    "backfill at half pace": "as the backfill",
    "size of the table and the journal": "the links are most of what the table grows by, and the journal keeps "
    "two ids for each",
}
"""What keeps a bound from being held that was not held yet."""


def table(ratios: list[Ratio]) -> str:
    """Return ratios as a Markdown table."""
    return HEAD + "".join(f"{line(ratio)}\n" for ratio in ratios)


def page(results: dict[str, Any]) -> str:
    """Return the whole page."""
    about = results["about"]
    ratios = [Ratio(**row) for row in results["ratios"]]
    last = results["growth"][-1]
    missed = [ratio.what for ratio in ratios if not ratio.held]
    return f"""\
# Performance

Written by `scripts/bench --write` from what it measured; [performance.json](performance.json) holds the figures.
Both sides of a ratio were measured in one run on {about["machine"]}, Python {about["python"]},
PostgreSQL {about["postgresql"]}. The server syncs and keeps full pages; {about["settings"]};
autovacuum is off, so that two runs of one thing are the same. {about["rows"]:,} rows of the seed
{about["seed"]}: chains of 2.6 revisions on average with ids in no order, documents of 2 to 6 kB. Times differ from
machine to machine, and ratios of one run less. What is counted comes from the server's counters; only scans are
the same on any machine, because the size of a batch follows the clock, and full pages in the WAL follow the
checkpoints.

```sh
scripts/bench --rows {about["rows"]} --growth {",".join(str(size["rows"]) for size in results["growth"])} --write
```

## Against plain SQL, plain Alembic and psql

{table(ratios)}
{_missed(missed)}

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
