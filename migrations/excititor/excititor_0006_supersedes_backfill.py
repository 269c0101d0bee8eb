"""Supersedes backfill: each row points to the previous revision of its document.

Why: the services follow the chain, but older rows have no link, or a wrong one.
Locks: row locks, for the duration of one batch. Needs AOC_ALLOW_SUPERSEDES_RETROFIT=true if any row needs a link.
If it fails: finished batches are kept; run the same command again to resume after the last one.
Reversible: yes, from the journal: exactly the rows that it wrote get their old value back.
"""

from alembic import op

from aoc_migrate.contract.v1 import VEX_RAW, Part

revision = "excititor_0006"
down_revision = "excititor_0005"
branch_labels = None
depends_on = None

part = Part.CHAIN


def upgrade() -> None:
    op.backfill_supersedes("vex_raw", contract=VEX_RAW, revision=revision)


def downgrade() -> None:
    op.restore_supersedes("vex_raw", contract=VEX_RAW, revision=revision)
