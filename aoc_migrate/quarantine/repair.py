"""`repair`: repair rows that break a rule if nothing is lost, and move the others into quarantine."""

from dataclasses import dataclass
from functools import partial

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.session import Row, Session
from aoc_migrate.errors import refused
from aoc_migrate.quarantine.apply import apply_work, show_work, under_lock_if, usable_contract
from aoc_migrate.quarantine.contents import show_unfinished
from aoc_migrate.quarantine.repair_rules import RULES, collisions, find_broken_rows, repair_work, rule_options
from aoc_migrate.report.facts.raw_rows import BrokenRow, BrokenRule, RepairFacts
from aoc_migrate.report.model import SHOWN, Next, Report, finding


@dataclass(frozen=True)
class RepairOptions:
    """``rules``: the rules whose rows are repaired; an empty tuple means all."""

    rules: tuple[str, ...] = ()
    limit: int = 200

    @classmethod
    def of(cls, names: tuple[str, ...], limit: int) -> "RepairOptions":
        """Return the options for these rule names, or for ``all``. Raises Abort (exit 2) for an unknown rule."""
        for name in names:
            if name not in (*RULES, "all"):
                raise refused(f"No such rule: {name}. The rules are {', '.join(RULES)}, and all.")
        return cls(() if "all" in names else names, limit)


def run_repair(session: Session, report: Report, options: RepairOptions, *, apply: bool) -> None:
    """Show the rows that would be repaired or moved; with ``apply``, repair and move them."""
    under_lock_if(session, report, partial(_repair, session, report, options, apply=apply), writes=apply)


def _repair(session: Session, report: Report, options: RepairOptions, *, apply: bool) -> None:
    contract = usable_contract(session, report)
    if contract is None:
        return
    target = session.target.name
    rules = tuple(rule for rule in RULES if rule in options.rules) or RULES
    work = repair_work(session, contract, rules)

    def find() -> bool:
        found = find_broken_rows(session, contract, rules, options.limit)
        report.put(_facts(found, apply=apply))
        if found["refused"]:
            report.findings.append(
                finding("constraint-refuses", contract.table, rows=found["refused"], target=target)
            )
        if found["repairs"] and _unique(session, contract):
            rows = collisions(session, contract, rules)
            if rows:
                report.findings.append(finding("repairs-collide", contract.table, rows=rows, target=target))
        return bool(found["repairs"] + found["moves"])

    if apply:
        apply_work(session, report, contract, work, find)
    elif show_work(session, report, contract, work, find) and not show_unfinished(session, report, contract):
        report.next = Next(choices=(f"aoc-migrate repair {target} {rule_options(rules)} --apply",), note=SHOWN)


def _facts(found: Row, *, apply: bool) -> RepairFacts:
    """Return counts by rule and column, and without ``apply`` a sample of ids and what would become of them."""
    broken = (
        BrokenRule(row["rule"], row["column_"], row["rows"], row["repaired"], row["rows"] - row["repaired"])
        for row in found["by_rule"]
    )
    sample = (
        BrokenRow(row["id"], "repaired" if row["repair"] else "moved", row["flags"]) for row in found["sample"]
    )
    if apply:
        return RepairFacts(tuple(broken))
    return RepairFacts(tuple(broken), found["repairs"], found["moves"], tuple(sample))


def _unique(session: Session, contract: Contract) -> bool:
    return catalog.index_state(session, contract.table, contract.idempotency_index()) in ("valid", "invalid")
