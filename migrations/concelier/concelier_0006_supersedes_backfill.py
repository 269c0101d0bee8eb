"""Supersedes backfill: each row points to the previous revision of its document.

Why: the services follow the chain; rows stored before it existed have no link, or a wrong one.
Locks: row locks, for the time of one batch. Needs AOC_ALLOW_SUPERSEDES_RETROFIT=true where rows need it.
If it fails: finished batches are kept; the same command goes on behind the last one.
Reversible: yes, from the journal: exactly the rows written here get their old value back.
"""

from alembic import op

from aoc_migrate.contract.v1 import ADVISORY_RAW, Part

revision = "concelier_0006"
down_revision = "concelier_0005"
branch_labels = None
depends_on = None

part = Part.CHAIN


def upgrade() -> None:
    op.backfill_supersedes("advisory_raw", contract=ADVISORY_RAW, revision=revision)


def downgrade() -> None:
    op.restore_supersedes("advisory_raw", contract=ADVISORY_RAW, revision=revision)
