"""Idempotency index: one row per tenant, vendor, upstream id and content hash.

Why: a document fetched twice must be stored once; ON CONFLICT on these columns needs the index.
Locks: SHARE UPDATE EXCLUSIVE on advisory_raw during the CONCURRENTLY build, which waits for older transactions.
If it fails: run the same command again; it drops the unfinished index and rebuilds it.
Reversible: yes, the index is dropped CONCURRENTLY, unless it existed before.
"""

from alembic import op

from aoc_migrate.contract.v1 import Part

revision = "concelier_0004"
down_revision = "concelier_0003"
branch_labels = None
depends_on = None

part = Part.IDEMPOTENCY
removable = True

index = ("advisory_raw_idempotency_v1", "advisory_raw", ["tenant", "source_vendor", "upstream_id", "content_hash"])


def upgrade() -> None:
    op.create_index_concurrently(*index, unique=True, revision=revision)


def downgrade() -> None:
    op.drop_index_concurrently(*index, unique=True, revision=revision)
