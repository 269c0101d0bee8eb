"""Chain index: the revisions of each upstream document, in order.

Why: the backfill, verify and the services' lookup of the latest revision read in this order.
Locks: SHARE UPDATE EXCLUSIVE on vex_raw during the CONCURRENTLY build, which waits for older transactions.
If it fails: run the same command again; it drops the unfinished index and rebuilds it.
Reversible: yes, the index is dropped CONCURRENTLY, unless it existed before.
"""

from alembic import op

from aoc_migrate.contract.v1 import Part

revision = "excititor_0005"
down_revision = "excititor_0004"
branch_labels = None
depends_on = None

part = Part.CHAIN_INDEX

columns = ["tenant", "source_vendor", "upstream_id", "retrieved_at", 'id COLLATE "C"']
index = ("vex_raw_chain_v1", "vex_raw", columns)


def upgrade() -> None:
    op.create_index_concurrently(*index, revision=revision)


def downgrade() -> None:
    op.drop_index_concurrently(*index, revision=revision)
