"""`rehearse`: upgrade a restored copy, go back to where it was, compare everything, and upgrade it again."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial

import psycopg

from aoc_migrate.database.runner_lock import lock_key
from aoc_migrate.database.same_database import in_doubt, marked
from aoc_migrate.database.session import Session
from aoc_migrate.database.targets import COPY, Target
from aoc_migrate.errors import Abort, refused
from aoc_migrate.inspect.rehearsal_room import room_needed
from aoc_migrate.inspect.session_checks import write_findings
from aoc_migrate.report.facts.rehearsed import RehearsalFacts
from aoc_migrate.report.formatting import bytes_shown
from aoc_migrate.report.model import TRY_LATER, Finding, Report, finding
from aoc_migrate.revisions.current import catalog_findings, our_tables, read_revision
from aoc_migrate.revisions.graph import contract_at, head
from aoc_migrate.run import hold, rehearsal_record
from aoc_migrate.run.audit import run_audit
from aoc_migrate.run.next_step import after_rehearsal
from aoc_migrate.run.rehearsal_phases import Phases
from aoc_migrate.run.rehearsal_record import Record
from aoc_migrate.run.rollback import run_downgrade
from aoc_migrate.run.target_run import Options, on_target
from aoc_migrate.run.upgrade import UpgradeOptions, run_upgrade
from aoc_migrate.run.verify import VerifyOptions, run_verify
from aoc_migrate.run.way_back import compare

_RESULTS = {"exact": "the way back is exact", "differs": "the way back differs"}
UPGRADE, DOWNGRADE, AGAIN = "upgrade", "downgrade", "second upgrade"


@dataclass(frozen=True)
class RehearseOptions:
    """Options of `rehearse`. ``database`` is the name of the copy, typed again; ``free`` is in bytes.

    ``url_typed``: the URL is on the command line, and not in the environment.
    """

    database: str
    second_upgrade: bool = True
    free: int | None = None
    url_typed: bool = False


def rehearse_on(copy: Target, options: Options, rehearsal: RehearseOptions) -> Report:
    """Rehearse on a copy, and return the report. Raises Abort (exit 2) where that is refused."""
    report = on_target(copy, "rehearse", options, lambda s, r: run_rehearse(s, r, options, rehearsal))
    following = report.next
    if rehearsal.url_typed and any("rehearse" in words for words in (following.command, *following.choices)):
        note = f"{following.note} Set {COPY} first: its value is not repeated here.".strip()
        report.next = replace(following, note=note)
    return report


def run_rehearse(session: Session, report: Report, options: Options, rehearsal: RehearseOptions) -> None:
    """Rehearse on the database of ``session``. Raises Abort (exit 2) where it is not the copy."""
    _is_the_copy(session, rehearsal.database)
    report.findings += in_doubt(session) or write_findings(session, our_tables(session))
    if not report.errors:
        with _alone(session), marked(session) as mark:
            _rehearse(session, report, Phases(session, report, options, mark), rehearsal)
    again = " ".join(["aoc-migrate rehearse", report.target, *options.typed])
    report.next = after_rehearsal(report, again, allowed=options.flags.allow_supersedes_retrofit)


def _is_the_copy(session: Session, named: str) -> None:
    database = session.value("SELECT current_database()")
    if database != named:
        raise refused(
            f"{session.target.variable} leads to the database {database!r}, and --copy-is names {named!r}. "
            "Nothing has changed. Check which of the two is the copy."
        )


@contextmanager
def _alone(session: Session) -> Iterator[None]:
    """Let no other rehearsal of this database run meanwhile. Raises Abort (exit 3) if one does."""
    key = lock_key(f"rehearse {session.target.name}", session.target.schema)
    if not session.value("SELECT pg_try_advisory_lock(%s::bigint)", (key,)):
        raise refused("Another rehearsal runs on this copy. Wait until it has ended.", exit_code=TRY_LATER)
    try:
        yield
    finally:
        with suppress(psycopg.Error):
            session.value("SELECT pg_advisory_unlock(%s::bigint)", (key,))


def _rehearse(session: Session, report: Report, phases: Phases, rehearsal: RehearseOptions) -> None:
    record = rehearsal_record.read(session)
    if record:
        session.say(f"going on with a rehearsal that was interrupted in its phase {record.phase}", "resumed")
        if record.phase == AGAIN and not rehearsal.second_upgrade:
            raise refused("The second upgrade of this rehearsal has begun: finish it without --no-second-upgrade.")
        phases.resume(record.phases)
    elif not _may_begin(session, report, phases, rehearsal):
        return
    else:
        session.say("reading every row, to compare it later", "step")
        record = rehearsal_record.begin(session, report.revision, UPGRADE, phases.done, hold.read(session))
        report.changed = True
    if record.held_by:
        words = {"command": record.held_by, "at": record.held_at}
        report.findings.append(finding("copy-held", rehearsal.database, **words))
    with _saying_how_it_is_left(session, report):
        if _there_and_back(session, report, phases, record, rehearsal):
            rehearsal_record.drop(session)


def _may_begin(session: Session, report: Report, phases: Phases, rehearsal: RehearseOptions) -> bool:
    """Audit, and estimate the room; return whether the rehearsal may begin. Changes nothing."""
    target, database = report.target, rehearsal.database
    found = hold.read(session)
    if found and not found.finished:
        words = {"command": found.command, "revision": found.revision or "base"}
        report.findings.append(finding("copy-half-way", database, **words))
        return False
    if report.revision == head(target):
        report.findings.append(_at_head(session, report.revision, found, database))
        return False
    if not phases.run("audit", "audit", partial(run_audit, limit=phases.options.limit)):
        return False
    room = room_needed(session, contract_at(target, head(target)), 1 + rehearsal.second_upgrade, rehearsal.free)
    if room:
        report.put(room)
        session.say(
            f"the rehearsal needs up to {bytes_shown(room.room_needed_bytes)} of room", room=room.room_needed_bytes
        )
    if room and rehearsal.free is not None and rehearsal.free < room.room_needed_bytes:
        words = {
            "needed": bytes_shown(room.room_needed_bytes),
            "free": bytes_shown(rehearsal.free),
            "target": target,
        }
        report.findings.append(finding("copy-too-small", database, **words))
    return not report.errors


def _at_head(session: Session, revision: str, found: hold.Hold | None, database: str) -> Finding:
    """Return why a copy at head is not rehearsed; an error if an upgrade of it would not find everything done."""
    wrong = [each.subject for each in catalog_findings(session, revision) if each.severity == "error"]
    reasons = [f"it is under a hold, left by `{found.command}`"] if found else []
    reasons += [f"this is missing or wrong: {', '.join(wrong)}"] if wrong else []
    if not reasons:
        return finding("nothing-pending", database, revision=revision)
    words = {"target": session.target.name, "variable": f"{session.target.name.upper()}_DATABASE_URL"}
    words |= {"reason": "; ".join(reasons), "release": " --release-hold" if found else ""}
    return finding("head-incomplete", database, revision=revision, **words)


def _there_and_back(
    session: Session, report: Report, phases: Phases, record: Record, rehearsal: RehearseOptions
) -> bool:
    """Run the phases from that of the record on; return whether the rehearsal has come to a verdict."""
    way_back, kept = "exact" if record.phase == AGAIN else None, record.kept
    try:
        if record.phase == UPGRADE:
            if not _upgrade(phases, UPGRADE):
                return False
            rehearsal_record.advance(session, DOWNGRADE, phases.done)
        if record.phase != AGAIN:
            back = partial(run_downgrade, revision=record.revision or "base")
            if not phases.run(DOWNGRADE, "downgrade", back, guard_enabled=False):
                return False
            session.say("comparing every object and every row with those before", "step")
            found, kept = compare(session, record, phases.options.limit)
            report.findings += found
            report.failed |= bool(found)
            way_back = "differs" if found else "exact"
            if found or not rehearsal.second_upgrade:
                return not found  # with a difference, the record stays: the same command compares with it again
            rehearsal_record.advance(session, AGAIN, phases.done, kept)
        return _upgrade(phases, AGAIN)
    finally:
        rows = sum(digest.rows for digest in record.digests.values())
        facts = RehearsalFacts(
            way_back,
            record.revision or "base",
            head(report.target) or "base",
            len(record.entries),
            rows,
            tuple(phases.done),
            kept,
        )
        report.put(facts)
        report.result = _RESULTS.get(way_back or "", "")


def _upgrade(phases: Phases, name: str) -> bool:
    """Upgrade to head and verify, probe included; a hold is released, that of the copy or of our own downgrade."""
    limit = phases.options.limit
    upgrade = partial(run_upgrade, options=UpgradeOptions(release_hold=True, no_create=True, limit=limit))
    verify = partial(run_verify, options=VerifyOptions(limit, probe=True, require_head=True))
    return phases.run(name, "upgrade", upgrade) and phases.run(
        f"verify after {name}", "verify", verify, allow_supersedes_retrofit=False
    )


@contextmanager
def _saying_how_it_is_left(session: Session, report: Report) -> Iterator[None]:
    """If the rehearsal does not end, say in which phase the copy is, at which revision, and whether it is held."""
    try:
        yield
    except (SystemExit, KeyboardInterrupt, psycopg.Error, Abort):
        with suppress(psycopg.Error, Abort):
            for found in _left(session):
                session.say(f"{found.problem} {found.help}", "rehearsal-unfinished", level="warning")
        raise
    if not any(finding.slug == "way-back-differs" for finding in report.findings):
        with suppress(psycopg.Error):
            report.findings += _left(session)


def _left(session: Session) -> list[Finding]:
    """Return a finding for a rehearsal that has not ended: its phase, and the state of the copy."""
    record = rehearsal_record.read(session)
    if record is None:
        return []
    words = {
        "phase": record.phase,
        "revision": read_revision(session) or "base",
        "hold": "under a hold" if hold.read(session) else "not under a hold",
    }
    return [finding("rehearsal-unfinished", session.value("SELECT current_database()"), **words)]
