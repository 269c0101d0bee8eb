"""The room that a rehearsal needs at most, from what is measured on a sample of the raw table."""

from functools import partial

from aoc_migrate.contract.model import Contract
from aoc_migrate.database.session import Session
from aoc_migrate.inspect.cost import briefly, measure, wal
from aoc_migrate.inspect.index_room import index_room
from aoc_migrate.operations.supersedes.staged import STAGING_ROOM, exceeds_cache, staged_bytes
from aoc_migrate.report.facts.rehearsed import RoomFacts

_KEPT_WAL = """SELECT 2 * pg_size_bytes(current_setting('max_wal_size'))
  + pg_size_bytes(current_setting('wal_keep_size'))"""


def room_needed(session: Session, contract: Contract, upgrades: int, free: int | None) -> RoomFacts | None:
    """Return the room for that many upgrades with a downgrade; None if the table is empty or cannot be measured.

    Each upgrade and the downgrade write every linked row again, and vacuum may not have removed the old version
    yet. A sort needs as much as the index that it builds, and a staged backfill has sorts of its own. Of the WAL,
    twice ``max_wal_size`` may be kept between two checkpoints; a slot or an archive that lags keeps more, up to
    ``--max-lag``.
    """
    costs = measure(session, contract, links=True)
    if costs is None:
        return None
    indexes = (
        briefly(session, partial(index_room, session, contract, costs.size, costs.rows, costs.entry_bytes)) or 0
    )
    links, passes = costs.links.most if costs.links else 0, upgrades + 1
    row = costs.size.main_bytes / max(costs.rows, 1)
    journal = costs.entry_bytes[contract.chain_index().name]
    versions = round(links * (row * passes + journal * upgrades))
    written = wal(links * passes)["backfill_wal_at_most_bytes"] + indexes * upgrades
    kept = min(written, int(session.value(_KEPT_WAL)))
    staging = (
        STAGING_ROOM * staged_bytes(links, costs.id_bytes) if exceeds_cache(session, contract, indexes) else 0
    )
    sorts = max(indexes, staging)
    return RoomFacts(indexes + sorts + versions + kept, indexes, sorts, versions, kept, free)
