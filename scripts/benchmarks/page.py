"""The page docs/performance.md, made from the measurements. Pure: the same results make the same page."""

import textwrap
from typing import Any

from scripts.benchmarks.growth import FAR, STEPS, VERBS, extended
from scripts.benchmarks.meanings import MEANING, WHY, meaning
from scripts.benchmarks.results import HEAD, Ratio, line
from scripts.benchmarks.sizes import FAR as FURTHER
from scripts.benchmarks.sizes import IOPS, RATE, per_row, room, work


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
{_command(results)}
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

{_further(last)}## Who waits

Two writers and a reader send 100 statements a second each while a migration of
{about["rows"]:,} rows runs; each wait is measured from the moment when its statement was due.

{_stalls(results["stalls"])}
{_readers(results["stalls"])}"""


def _command(results: dict[str, Any]) -> str:
    sizes = ",".join(str(size["rows"]) for size in results["growth"])
    beyond = any(ratio["what"] == "backfill beyond memory" for ratio in results["ratios"])
    return f"scripts/bench --rows {results['about']['rows']} --growth {sizes}{' --beyond-memory' * beyond} --write"


def _meanings(ratios: list[Ratio]) -> str:
    """Return what the rows mean, in their order."""
    names = dict.fromkeys(name for ratio in ratios if (name := meaning(ratio.what)))
    listed = (textwrap.fill(f"- {name}: {MEANING[name]}.", 115, subsequent_indent="  ") for name in names)
    return "\n".join(["What these rows mean:", "", *listed, "", ""])


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
    memory = f"{peaks}, at {first['rows']:,} and {last['rows']:,} rows."
    if "reads" not in last:
        return memory
    audit, upgrade, verify = (f"`{verb}` {last['reads'][verb]:.1f}" for verb in VERBS)
    return (
        f"{memory}\n\nBy its counters, the server read the table whole: {audit}, {upgrade} and {verify} times. "
        "The builds of\nindexes, the proofs and the backfill are in that of `upgrade`."
    )


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


def _readers(found: list[dict[str, Any]]) -> str:
    """Return what a long reader costs, if that was measured."""
    rows = "".join(
        f"| {row['name']} | {_long(row['seconds'])} | {row['longest_ms']:,.0f} ms | {row['tries']} "
        f"| {row['hot']:.0f} % |\n"
        for row in found
        if row.get("hot") is not None and "downgrade" not in row["name"] and "swaps" not in row["name"]
    )
    if not rows:
        return ""
    return (
        "\nA reader that leaves its transaction open, as a report or `pg_dump` does, can cost two things. If it\n"
        "is there when we need a strong lock, we try again and again, each time no longer than `--max-stall`,\n"
        "while a plain transaction waits in the queue, and everybody behind it. During the backfill, its\n"
        "snapshot keeps dead row versions, so that fewer updates find room on their page (HOT).\n\n"
        "| while | took | longest wait | most tries of a step | HOT updates |\n"
        f"| --- | ---: | ---: | ---: | ---: |\n{rows}"
    )


def _further(last: dict[str, Any]) -> str:
    """Return what bytes say of tables beyond memory, if they were measured."""
    if "wal" not in last:
        return ""
    sizes = per_row(last)
    listed = {
        "table": sizes["before"]["table"],
        "its documents (TOAST)": sizes["before"]["TOAST"],
        **{name: sizes["after"][name] for name in ("primary key", "idempotency index", "chain index", "journal")},
        **{f"WAL of the {name}": sizes["wal"][name] for name in ("idempotency index", "chain index", "backfill")},
    }
    measured = {"audit": last["audit"], "verify": last["verify"]}
    measured |= {name: step["took"] for name, step in last["steps"].items()}
    head = " | ".join(f"{rows:,} rows" for rows in FURTHER)
    steps = "".join(
        f"| {each.step} | {each.words} | "
        + " | ".join(_long(each.seconds(rows, measured[each.step] / last["rows"])) for rows in FURTHER)
        + " |\n"
        for each in work(last)
    )
    rooms = "".join(
        f"| {name} | " + " | ".join(_size(each * rows) for rows in FURTHER) + " |\n" for name, each in room(last)
    )
    bytes_each = "".join(f"| {name} | {number:,.0f} |\n" for name, number in listed.items())
    return f"""\
## From bytes: tables beyond memory

**Extrapolated, not measured.** If a table is far larger than memory, the disk decides. Measured were the bytes
for each row with {last["rows"]:,} rows, of which {100 * last["links"] / last["rows"]:.0f} % have a link:

| for each row | bytes |
| --- | ---: |
{bytes_each}
From these, with a disk that reads and writes {RATE / 1e6:,.0f} MB a second in sequence and {IOPS:,} pages a
second at random, and nothing in memory. Where the measured time in proportion is more, it counts:

| step | what it does | {head} |
| --- | --- | ---: | ---: |
{steps}
The room on the disk. WAL is kept until it is archived and replicated; `--max-lag` bounds that:

| room | {head} |
| --- | ---: | ---: |
{rooms}
"""


def _size(number: float) -> str:
    return f"{number / 1e12:,.1f} TB" if number >= 1e12 else f"{number / 1e9:,.0f} GB"
