"""What the backfill's revision does, and its downgrade: in batches online, and printed as SQL.

First a walk over the table in key order, its cursor committed with each batch. Then scans for rows that came
meanwhile, out of order too, or that others changed: whatever a scan finds is mended in batches, until one finds
nothing. A scan is a plain SELECT, and holds no lock on any row.
"""

import time
from collections.abc import Iterator
from functools import partial

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.attached_code import link_findings, refuse
from aoc_migrate.database.books import JOURNAL, STATE, create_books
from aoc_migrate.database.ddl.backfill import Batches, batches, hurried
from aoc_migrate.database.ddl.chain import (
    RETROFIT,
    batch,
    mend,
    restore_batch,
    set_back,
    sweep,
    wrong_links,
)
from aoc_migrate.database.ddl.printing import ROWS, emit, migration, needed, online, planned, schema
from aoc_migrate.database.ddl.table import forget, keep, record
from aoc_migrate.database.ddl.walk import walk
from aoc_migrate.database.ours import create, ours, writable
from aoc_migrate.database.progress import Progress
from aoc_migrate.database.reading import read
from aoc_migrate.database.relation import Schema
from aoc_migrate.database.session import Row, Session
from aoc_migrate.report.model import Finding, Stopped, make

FOUND = 50_000  # rows that a scan brings at most
SCANS, FEW = 20, 3  # scans near the end, until we let it be; so many whatever they take
_LINK, _SET_BACK = "link rows of {}", "set back links of {}"


def _begin(contract: Contract, at: Schema, name: str) -> str:
    """Keep a cursor before the first possible row: every comparison with it is true."""
    fields = ", ".join(f"'{c}', ''" for c in (*contract.chain_key, "id"))
    cursor = f"jsonb_build_object({fields}, 'retrieved_at', '-infinity')"
    return record(
        at,
        name,
        f"jsonb_build_object('cursor', {cursor}, 'rows', 0, 'done', false, 'started_at', now())",
    )


def _done(at: Schema, name: str) -> str:
    return (
        f"UPDATE {at[STATE]} SET value = value || '{{\"done\": true}}', recorded_at = now() WHERE name = '{name}'"
    )


def _gate(contract: Contract, at: Schema) -> str:
    return f"""DO $aoc$
BEGIN
  IF coalesce(current_setting('{RETROFIT}', true), '') <> 'true'
    AND EXISTS ({wrong_links(contract, at[contract.table])}) THEN
    RAISE EXCEPTION 'rows of {contract.table} need a supersedes link: SET {RETROFIT} = ''true'' to allow it';
  END IF;
END $aoc$"""


def _loop(statement: str) -> str:
    return f"""DO $aoc$
DECLARE page record;
BEGIN
  LOOP
    {statement.replace(chr(10), chr(10) + "    ")} INTO page;
    EXIT WHEN page.seen = 0;
    COMMIT;
  END LOOP;
END $aoc$"""


def backfill_links(contract: Contract, revision: str) -> None:
    """Set missing and wrong links, in batches, journaled; goes on where it was interrupted.

    Raises Stopped ``retrofit-not-allowed`` unless the flag allows it or no row needs it, and
    ``step-failed``.
    """
    session, at = online(), schema()
    with migration().autocommit_block():
        if session is None:
            with needed(
                f"NOT EXISTS (SELECT FROM {at[STATE]} WHERE name = '{revision}' AND (value->>'done')::boolean)"
            ):
                emit(create_books(at, JOURNAL), _gate(contract, at), _begin(contract, at, revision))
                emit(
                    _loop(batch(contract, at, revision)), _loop(sweep(contract, at, revision)), _done(at, revision)
                )
                planned(_LINK.format(contract.table), ROWS)
            return
        state = catalog.state(session, revision)
        if state is not None and state["done"]:
            return
        check_retrofit(session, contract)
        relink(session, contract, revision)


def check_retrofit(session: Session, contract: Contract) -> None:
    """Raise Stopped ``retrofit-not-allowed`` where rows need a new link and the flag does not allow it."""
    if not session.flags.allow_supersedes_retrofit:
        wrong = wrong_links(contract, session.schema[contract.table])
        rows = session.value(f"SELECT count(*) FROM ({wrong}) AS wrong")
        if rows:
            raise Stopped(make("retrofit-not-allowed", contract.table, rows=rows))


def relink(session: Session, contract: Contract, name: str) -> int:
    """Link every row anew where it is wrong, with the cursor kept under ``name``; return rows written.

    Raises Stopped ``foreign-code`` or ``needs-search-path``.
    """
    refuse(session, code_on_the_way(session, contract))
    create(session, STATE, JOURNAL)
    keep(session, _begin(contract, session.schema, name))
    label = _LINK.format(contract.table)
    with batches(session, label, contract.table, (STATE, JOURNAL)) as running:
        walk(running, contract, name)
        _settle(running, contract, name)
        keep(session, _done(session.schema, name))
        return int(running.step["rows"])


def _settle(running: Batches, contract: Contract, name: str) -> None:
    """Scan and mend until a scan finds nothing.

    Where writers go on storing rows with wrong links, no scan ever finds nothing: after so many scans, or a few
    that took longer than ``limits.deadline``, the rest is left to verify, which names it.
    """
    session, begun = running.session, time.monotonic()
    progress = Progress(session, "links mended")

    def query(source: str) -> str:
        return f"{wrong_links(contract, source)} LIMIT {FOUND}"

    scans = 0
    while scans < SCANS and (scans < FEW or time.monotonic() - begun < session.limits.deadline):
        found = read(session, contract.table, "looking for wrong links", query)
        if not found:
            return
        written = 0
        with hurried(session):
            for row in _mend(running, mend(contract, session.schema, name), found):
                written += row["written"]
                progress.add(row["seen"])
        scans += len(found) < FOUND or not written
    session.say(f"{running.label}: rows with wrong links keep coming; verify names what is left")


def _mend(running: Batches, statement: str, found: list[Row]) -> Iterator[Row]:
    """Mend what was found in batches; yield each one's row."""
    place = 0
    while place < len(found):
        row = running.run(statement, partial(_columns, found, place))
        place += row["seen"]
        yield row


def _columns(found: list[Row], place: int, size: int) -> Row:
    part = found[place : place + size]
    return {f"{name}s": [row[name] for row in part] for name in ("id", "old", "expected")}


def restore_links(contract: Contract, revision: str) -> None:
    """Set back the links that were written here, latest batch first; rows changed since are left alone.

    Raises Stopped ``foreign-code`` or ``needs-search-path``.
    """
    session, journal = online(), schema()[JOURNAL]
    with migration().autocommit_block():
        if session is None:
            with needed(f"to_regclass({journal.literal}) IS NOT NULL"):
                emit(_loop(restore_batch(contract, schema())))
                planned(_SET_BACK.format(contract.table), ROWS)
            emit(f"DROP TABLE IF EXISTS {journal}", forget(schema(), revision))
            return
        if catalog.kind(session, JOURNAL) is not None:
            _restore(session, contract)
            with ours(session, JOURNAL, writes=True):
                session.run(f"DROP TABLE {journal}")
        keep(session, forget(session.schema, revision))


def code_on_the_way(session: Session, contract: Contract) -> list[Finding]:
    """Return what linking anew would run and must not."""
    wrong = wrong_links(contract, session.schema[contract.table])
    return link_findings(session, contract, lambda: session.value(f"SELECT EXISTS ({wrong})"))


def code_on_the_way_back(session: Session, contract: Contract) -> list[Finding]:
    """Return what the way back would run and must not, and who else may write to the journal, if there is one."""
    if catalog.kind(session, JOURNAL) is None:
        return []

    def journaled() -> object:
        with ours(session, JOURNAL):
            return session.value(f"SELECT EXISTS (SELECT FROM {session.schema[JOURNAL]})")

    return [*writable(session, JOURNAL), *link_findings(session, contract, journaled)]


def _restore(session: Session, contract: Contract) -> None:
    refuse(session, code_on_the_way_back(session, contract))
    label = _SET_BACK.format(contract.table)
    with batches(session, label, contract.table, (JOURNAL,)) as running, hurried(session):
        running.step |= {"kept": 0, "kept_ids": []}
        statement, progress = set_back(contract, session.schema), Progress(session, "links set back")
        while (page := running.run(statement, lambda size: {"size": size}))["seen"]:
            progress.add(page["written"])
            running.step["kept"] += len(page["kept"])
            running.step["kept_ids"] = (running.step["kept_ids"] + page["kept"])[:200]
