"""Chain index: the revisions of each upstream document in their order.

Why: the backfill, verify and the services' look-up of the latest revision read in this order.
Locks: SHARE UPDATE EXCLUSIVE on vex_raw while it builds CONCURRENTLY; it waits for older transactions.
If it fails: an unfinished index is dropped and built anew by the same command.
Reversible: yes, the index is dropped CONCURRENTLY, unless it was there before.
"""

from aoc_migrate.contract.v1 import VEX_RAW, Part
from aoc_migrate.database import ddl

revision = "excititor_0005"
down_revision = "excititor_0004"
branch_labels = None
depends_on = None

part = Part.CHAIN_INDEX


def upgrade() -> None:
    ddl.create_index(VEX_RAW.table, VEX_RAW.chain_index(), revision)


def downgrade() -> None:
    ddl.drop_index(VEX_RAW.table, VEX_RAW.chain_index(), revision)
