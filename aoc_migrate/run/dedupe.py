"""`dedupe`: surplus rows of duplicate groups move into quarantine; one of each group stays."""

from dataclasses import dataclass
from functools import partial

from aoc_migrate.database.session import Session
from aoc_migrate.inspect.dedupe import dedupe_work, look_for_duplicates
from aoc_migrate.report.model import Report, make
from aoc_migrate.run.work import apply_work, maybe_locked, raw_contract, show_work


@dataclass(frozen=True)
class DedupeOptions:
    """``keep``: earliest or latest. ``different``: move rows too that differ from the one that stays."""

    keep: str = "earliest"
    different: bool = False
    limit: int = 200


def run_dedupe(session: Session, report: Report, options: DedupeOptions, *, apply: bool) -> None:
    """Show what would move; with ``apply`` move it."""
    maybe_locked(session, report, partial(_dedupe, session, report, options, apply=apply), writes=apply)


def _dedupe(session: Session, report: Report, options: DedupeOptions, *, apply: bool) -> None:
    contract = raw_contract(session, report)
    if contract is None:
        return
    target = session.target.name
    work = dedupe_work(session, contract, options.keep, different=options.different)

    def look() -> bool:
        counts, sample = look_for_duplicates(session, contract, options.keep, options.limit)
        report.facts |= {**counts, "stays": options.keep, "duplicates": sample}
        if counts["different"] and not options.different:
            report.findings.append(make("duplicates-differ", contract.table, rows=counts["different"]))
        return bool(counts["surplus"])

    report.next = f"aoc-migrate audit {target}"
    if apply:
        apply_work(session, report, contract, work, look)
    elif show_work(session, report, contract, work, look):
        report.next = f"aoc-migrate dedupe {target} --apply"
