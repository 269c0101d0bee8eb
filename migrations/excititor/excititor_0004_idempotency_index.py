"""Idempotency index: one row per tenant, vendor, upstream id and content hash.

Why: a document that is fetched twice must not be stored twice; ON CONFLICT on these columns needs it.
Locks: SHARE UPDATE EXCLUSIVE on vex_raw while it builds CONCURRENTLY; it waits for older transactions.
If it fails: an unfinished index is dropped and built anew by the same command.
Reversible: yes, the index is dropped CONCURRENTLY, unless it was there before.
"""

from aoc_migrate.contract.v1 import VEX_RAW, Part
from aoc_migrate.database import ddl

revision = "excititor_0004"
down_revision = "excititor_0003"
branch_labels = None
depends_on = None

part = Part.IDEMPOTENCY
removable = True


def upgrade() -> None:
    ddl.create_index(VEX_RAW.table, VEX_RAW.idempotency_index(), revision)


def downgrade() -> None:
    ddl.drop_index(VEX_RAW.table, VEX_RAW.idempotency_index(), revision)
