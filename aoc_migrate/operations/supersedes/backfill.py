"""The backfill online: in batches, and exact at the end, whatever others store while it runs.

First it walks over the table in key order, and commits its cursor with each batch. Then it scans for rows that
arrived since, even out of order, or that others changed, and repairs them in batches, until a scan finds nothing.
A scan is a plain SELECT, and locks no row.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from operator import itemgetter

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.attached_code import link_findings, refuse
from aoc_migrate.database.batches import Batches, batches, index_plans_only
from aoc_migrate.database.bookkeeping import JOURNAL, STATE
from aoc_migrate.database.obeying import clock
from aoc_migrate.database.own_tables import create
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.spread.shape import Spread, spread_of
from aoc_migrate.database.state import keep
from aoc_migrate.database.table_scan import read
from aoc_migrate.errors import Abort
from aoc_migrate.operations.supersedes.distributed import first_place, link_page, next_tenant, repair_found
from aoc_migrate.operations.supersedes.link_obstacles import link_obstacles
from aoc_migrate.operations.supersedes.staged import exceeds_cache, walk_staged
from aoc_migrate.operations.supersedes.statements import batch, begin, done, new_links, repair, wrong_links
from aoc_migrate.report.facts.full_reads import BACKFILL
from aoc_migrate.report.model import Finding, finding

FOUND = 50_000  # rows that one scan returns at most
MOST_SCANS, LEAST_SCANS = 20, 3  # the deadline ends the scans between these
LINK = "link rows of {}"


def backfill(session: Session, contract: Contract, revision: str, expected_ms: float | None = None) -> None:
    """Correct every wrong link, unless ``revision`` has done so before; ``expected_ms`` was estimated beforehand.

    Raises Abort ``retrofit-not-allowed``, and what `relink` raises.
    """
    state = catalog.state(session, revision)
    if state is None or not state["done"]:
        check_retrofit(session, contract)
        relink(session, contract, revision, expected_ms)


def check_retrofit(session: Session, contract: Contract) -> None:
    """Raise Abort ``retrofit-not-allowed`` where links are wrong and the flag does not allow to write them."""
    if not session.flags.allow_supersedes_retrofit:
        wrong = wrong_links(contract, session.schema[contract.table])
        query = f"SELECT count(*) FROM ({wrong}) AS wrong"
        rows = read(session, "counting wrong links", query, whole=BACKFILL)[0]["count"]
        if rows:
            raise Abort(finding("retrofit-not-allowed", contract.table, rows=rows))


def relink(session: Session, contract: Contract, name: str, expected_ms: float | None = None) -> int:
    """Correct every wrong link, with the cursor kept under ``name``; return the number of rows written.

    Raises Abort for what `objections_to_link` returns, ``cancelled``, and whatever else ends a batch.
    """
    refuse(session, objections_to_link(session, contract))
    create(session, STATE, JOURNAL)
    keep(session, begin(contract, session.schema, name))
    label = LINK.format(contract.table)
    spread = spread_of(session, contract.table)
    walk = _walk_of(session, contract, spread)
    with batches(session, label, contract.table, (STATE, JOURNAL), expected_ms=expected_ms) as running:
        _count_rows(running, contract, name)
        walk(running, contract, name)
        session.full_reads[BACKFILL] += 1
        _settle(running, contract, name, spread)
        keep(session, done(session.schema, name))
        return running.rows


def _walk_of(session: Session, contract: Contract, spread: Spread) -> Callable[[Batches, Contract, str], None]:
    """Return the order in which the rows are written."""
    if spread.placement:
        return _walk_tenants
    return walk_staged if exceeds_cache(session, contract) else _walk


def objections_to_link(session: Session, contract: Contract) -> list[Finding]:
    """Return the findings against writing links: it would run code of others, or rows or the table refuse them."""
    wrong = wrong_links(contract, session.schema[contract.table])
    query = f"SELECT EXISTS (SELECT 1 FROM ({wrong}) AS w) AS found"

    def to_write() -> object:
        return read(session, "looking for wrong links", query, whole=BACKFILL)[0]["found"]

    code = link_findings(session, contract, to_write)
    return [*code, *link_obstacles(session, contract, new_links)]


def _count_rows(running: Batches, contract: Contract, name: str) -> None:
    session = running.session
    state = catalog.state(session, name) or {}
    running.progress.approximate = True
    running.progress.count("rows", catalog.rows_estimated(session, contract.table), int(state.get("seen") or 0))


def _walk(running: Batches, contract: Contract, name: str) -> None:
    """Read the table once in key order, from the cursor that is kept under ``name``."""
    statement = batch(contract, running.session.schema, name)
    with index_plans_only(running.session):
        while True:
            page = running.run(statement, lambda size: {"size": size})
            running.progress.add(page["seen"])
            if page["seen"] < page["size"]:
                return


def _walk_tenants(running: Batches, contract: Contract, name: str) -> None:
    """The same on a cluster, where each batch is of one tenant."""
    session = running.session
    place = (catalog.state(session, name) or {})["cursor"]
    with index_plans_only(session, on_cluster=True):
        while True:
            page = running.run_with(partial(link_page, session, contract, name, place))
            running.progress.add(page["seen"])
            if page["seen"] >= page["size"]:
                place = {column: page[column] for column in place}
                continue
            tenant = session.value(next_tenant(contract, session.schema), place)
            if tenant is None:
                return
            place = first_place(tenant)


def _settle(running: Batches, contract: Contract, name: str, spread: Spread) -> None:
    """Scan and repair until a scan finds nothing.

    Where writers keep storing rows with wrong links, every scan finds some: after `MOST_SCANS`, or `LEAST_SCANS`
    and ``limits.deadline``, the rest is left to verify, which names it. A full scan does not count. Because a
    trigger may undo each write, the number of full scans is limited by the rows of the table.
    """
    session, begun = running.session, clock(running.session)
    on_cluster = spread.placement is not None
    identity = ("id", contract.chain_key[0]) if on_cluster else ("id",)  # a batch there is of one tenant
    query = f"{wrong_links(contract, session.schema[contract.table], identity=identity)} LIMIT {FOUND}"
    scans, whole = 0, MOST_SCANS + (catalog.rows_estimated(session, contract.table) or 0) // FOUND
    while scans < MOST_SCANS and (scans < LEAST_SCANS or clock(session) - begun < session.limits.deadline):
        scanned_at = datetime.now(UTC)
        found = read(session, "looking for wrong links", query, whole=BACKFILL)
        if not found:
            session.linked_at = scanned_at
            return
        written = 0
        running.progress.approximate = False
        running.progress.count("links", len(found), doing="repairing")
        with index_plans_only(session, on_cluster=on_cluster):
            for row in _repair(running, contract, name, found, on_cluster=on_cluster):
                written += row["written"]
                running.progress.add(row["seen"])
        if len(found) < FOUND or not written:
            scans += 1
        elif whole == 0:
            break
        else:
            whole -= 1
    session.say(f"{running.label}: rows with wrong links keep coming; verify names what is left", level="warning")


def _repair(
    running: Batches, contract: Contract, name: str, found: list[Row], *, on_cluster: bool
) -> Iterator[Row]:
    """Repair the rows of a scan in batches, on a cluster each of one tenant; yield each batch's row."""
    session, place = running.session, 0
    found = sorted(found, key=itemgetter("tenant")) if on_cluster else found
    statement = repair(contract, session.schema, name)

    def batch_of(size: int) -> Row:
        rows = found[place : place + size]
        if on_cluster:
            return repair_found(session, contract, name, rows)
        return session.row(statement, _columns(rows))

    while place < len(found):
        row = running.run_with(batch_of)
        place += row["seen"]
        yield row


def _columns(rows: list[Row]) -> Row:
    return {f"{name}s": [row[name] for row in rows] for name in rows[0]}
