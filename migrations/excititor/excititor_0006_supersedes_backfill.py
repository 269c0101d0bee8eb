"""Supersedes backfill: each row points to the previous revision of its document.

Why: the services follow the chain; rows stored before it existed have no link, or a wrong one.
Locks: row locks, for the time of one batch. Needs AOC_ALLOW_SUPERSEDES_RETROFIT=true where rows need it.
If it fails: finished batches stand; the same command goes on behind the last one.
Reversible: yes, from the journal: exactly the rows written here get their old value back.
"""

from aoc_migrate.contract.v1 import VEX_RAW, Part
from aoc_migrate.database import ddl

revision = "excititor_0006"
down_revision = "excititor_0005"
branch_labels = None
depends_on = None

part = Part.CHAIN


def upgrade() -> None:
    ddl.backfill_links(VEX_RAW, revision)


def downgrade() -> None:
    ddl.restore_links(VEX_RAW, revision)
