"""What to type next: one function chooses it, from what a command found and from the state of the database.

``command`` is complete, may be pasted, and takes nothing away. What moves rows, sets links or ends a hold is only
a choice. Whoever types the command, or else the first choice, again and again arrives at a verified head, unless a
finding needs a person.
"""

import os
import re
import shlex
from dataclasses import replace
from itertools import pairwise

from aoc_migrate.database.limits import THROTTLE_QUERY, Limits
from aoc_migrate.database.session import Session
from aoc_migrate.database.targets import configured
from aoc_migrate.inspect.catalog_state import REPAIRABLE
from aoc_migrate.report.commands import split
from aoc_migrate.report.model import TRY_LATER, Finding, Next, Report
from aoc_migrate.revisions.current import chain_state
from aoc_migrate.run import hold

FIX = "Fix what the findings name first."
RETROFIT = "AOC_ALLOW_SUPERSEDES_RETROFIT=true"
_FIRST = ("index-in-place", "constraints-in-place", "repairs-collide", "newer-run-first", "view-target")
_LISTS = ("history", "quarantine")
_WITH_PAUSES = re.compile(r"aoc-migrate (upgrade|downgrade|chain|repair|dedupe|rehearse)\b")
_STOPPED = {"stopped-as-asked"}
_HELD = "A plain upgrade changes nothing under the hold."


def next_step(session: Session, report: Report, again: str) -> Next:
    """Return what to type next. ``again`` is the command that ends here, as it was typed, for this target."""
    verb = again.split()[1]
    found, errors = ({f.slug for f in findings} for findings in (report.findings, report.errors))
    following = (
        (_running(report) if verb == "status" else None)
        or _rollback(session, report.target, found)
        or _resumed(session, report.target, found)
        or _new_plan(report.errors)
        or _remedy(report.target, again, errors)
        or _in_the_way(report.errors)
        or (Next(_upgrade(session, report.target, again, errors)) if found & _STOPPED and not errors else None)
    )
    if following:
        return following
    if errors - REPAIRABLE - {"retrofit-not-allowed", "not-at-head"}:
        return Next(again, note=FIX)
    if verb in ("repair", "dedupe"):
        return Next(" ".join([f"aoc-migrate audit {report.target}", *accepted(again)]))
    released = verb == "upgrade" and not found & {"held", "rollback-unfinished"}
    current_hold = None if released else hold.read(session)
    if current_hold is not None:
        upgrade = _upgrade(session, report.target, again, errors)
        return _under_hold(report.target, current_hold, f"{upgrade} --release-hold")
    if errors or (verb not in ("upgrade", *_LISTS) and report.revision != report.head):
        return Next(_upgrade(session, report.target, again, errors))
    return _proof(report.target, verb)


def _proof(target: str, verb: str) -> Next:
    """Return the verify of the target; after an upgrade that of all, because others may still be below head."""
    if verb in ("verify", *_LISTS):
        return Next()
    everything = verb == "upgrade" and len(configured()) > 1
    return Next("aoc-migrate verify" if everything else f"aoc-migrate verify {target}")


def _running(report: Report) -> Next:
    """Return the command that waits for a run in progress, or nothing."""
    from aoc_migrate.report.facts.dashboard import StatusFacts  # an upgrade with nothing to do needs none of it
    from aoc_migrate.report.facts.steered import SteeringFacts

    state = report.get(StatusFacts)
    if state is None or not state.running:
        return Next()
    asked = report.get(SteeringFacts)
    for paused, option in (("pause", "--resume"), ("pause before strong locks", "--continue")):
        if asked and asked.asked and paused in asked.asked:
            return Next(choices=(f"aoc-migrate control {report.target} {option}",))
    return Next(
        f"aoc-migrate wait {report.target}",
        note="Another session holds the run lock and calls itself aoc-migrate. If the run is yours, wait.",
    )


def _rollback(session: Session, target: str, found: set[str]) -> Next:
    """Return the command that finishes a rollback, if it is what a verify or `chain --apply` found unfinished."""
    current_hold = hold.read(session) if "rollback-unfinished" in found else None
    if current_hold is None:
        return Next()
    return _under_hold(
        target, current_hold, f"{_upgrade(session, target, 'aoc-migrate status', set())} --release-hold"
    )


def _upgrade(session: Session, target: str, again: str, errors: set[str]) -> str:
    """Return the upgrade, as it was typed; it is allowed to set links if it must, or was and has not finished."""
    typed = again.split()[1] == "upgrade"
    upgrade = again if typed else " ".join(["aoc-migrate upgrade", target, *accepted(again)])
    state = chain_state(session)
    allowed = "retrofit-not-allowed" in errors or (state is not None and not state["done"])
    return f"{RETROFIT} {upgrade}" if allowed else upgrade


def _new_plan(errors: list[Finding]) -> Next:
    """Return the command that makes a new plan, if the approved one no longer fits, or nothing."""
    for found in errors:
        if found.slug == "plan-differs":
            (command,) = (part for part, is_command in split(found.help) if is_command)
            return Next(command, note="Upgrade by the new plan once it is approved.")
    return Next()


def _in_the_way(errors: list[Finding]) -> Next:
    """Return what has to be undone before rows can be restored or repaired, or the view made again, or nothing."""
    for found in errors:
        if found.slug in _FIRST:
            return Next(choices=tuple(part for part, is_command in split(found.help) if is_command), note=FIX)
    return Next()


def _remedy(target: str, again: str, errors: set[str]) -> Next:
    """Return the command that repairs what was found, or nothing."""
    if not errors:
        return Next()
    from aoc_migrate.quarantine.repair_rules import RULES, rule_options

    rules = tuple(rule for rule in RULES if rule in errors)
    if rules:
        options = rule_options(rules if len(rules) == 1 else RULES)
        return Next(" ".join([f"aoc-migrate repair {target}", options, *accepted(again)]))
    if "duplicate-key" in errors:
        return Next(" ".join([f"aoc-migrate dedupe {target}", *accepted(again)]))
    if "retrofit-not-allowed" in errors and again.startswith("aoc-migrate chain"):
        return Next(f"{RETROFIT} {again}")
    if "chain-broken" in errors and not again.startswith("aoc-migrate chain"):
        return Next(f"aoc-migrate chain {target}")
    return Next()


def _resumed(session: Session, target: str, found: set[str]) -> Next:
    """Return the command that finishes an interrupted `dedupe` or `repair`, or nothing."""
    if "work-unfinished" not in found:
        return Next()
    from aoc_migrate.quarantine.work_list import unfinished

    work = unfinished(session)
    words = ["aoc-migrate", work.verb, target, work.options, "--apply"] if work else []
    return Next(choices=(" ".join(filter(None, words)),) if words else ())


def _under_hold(target: str, current_hold: hold.Hold, release: str) -> Next:
    """Return what ends a hold. An unfinished rollback is finished first, even if a psql script began it."""
    verb, _, rest = current_hold.command.removeprefix("psql ").partition(" ")
    if current_hold.finished:
        return Next(choices=(release,), note=_HELD)
    return Next(f"aoc-migrate {verb} {target} {rest}", choices=(release,))


def accepted(again: str) -> list[str]:
    """Return the options --accept of a command."""
    return [f"--accept {shlex.quote(value)}" for name, value in pairwise(shlex.split(again)) if name == "--accept"]


def after_rehearsal(report: Report, again: str, *, allowed: bool) -> Next:
    """Return what to type after a rehearsal: after a good one, what leads to the upgrade of the target itself.

    ``allowed``: the rehearsal was allowed to write links.
    """
    found = {finding.slug for finding in report.findings}
    if "way-back-differs" in found:
        return Next(
            choices=(again,), note="Restore the copy, and rehearse again. This one is as the downgrade left it."
        )
    if report.errors:
        allowed |= "retrofit-not-allowed" in found
        fix = FIX if any(finding.exit_code != TRY_LATER for finding in report.errors) else ""
        return Next(
            f"{RETROFIT} {again}" if allowed else again, note=f"{fix} {_on_the_copy(report.target)}" if fix else ""
        )
    if "nothing-pending" in found:
        return Next(f"aoc-migrate status {report.target}")
    words = [RETROFIT] if allowed else []
    words += ["aoc-migrate upgrade", report.target, *accepted(again)]
    words += ["--release-hold"] if "copy-held" in found else []
    return Next(f"aoc-migrate plan {report.target}", choices=(" ".join(words),))


def _on_the_copy(target: str) -> str:
    """Return what to know of the commands that findings name: they change what is configured, not the copy."""
    variable = f"{target.upper()}_DATABASE_URL"
    return (
        f"Their commands run on {variable}. To run one on the copy, set {variable} to the copy's URL for that "
        "command only."
    )


def without_query(following: Next, limits: Limits) -> Next:
    """Say that commands to type again lack the query of --throttle-query, unless the environment has it."""
    query = limits.throttle_query
    commands = (following.command, *following.choices)
    if query in (None, os.environ.get(THROTTLE_QUERY)) or not any(map(_WITH_PAUSES.search, commands)):
        return following
    note = f"--throttle-query is not repeated here: give it again, or set {THROTTLE_QUERY}."
    return replace(following, note=f"{following.note} {note}".strip())
