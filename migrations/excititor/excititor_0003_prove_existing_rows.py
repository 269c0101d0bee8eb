"""Prove existing rows: validate the CHECKs in one scan, then NOT NULL without another.

Why: only a validated constraint says something about the rows that were there before.
Locks: SHARE UPDATE EXCLUSIVE on vex_raw during the scan (reads and writes go on), then ACCESS EXCLUSIVE for
an instant.
If it fails: new rows stay guarded; mend the rows that the audit names and run the same command again.
Reversible: yes, the CHECKs become NOT VALID again, and NOT NULL goes where this revision had set it.
"""

from aoc_migrate.contract.v1 import VEX_RAW, Part
from aoc_migrate.database import ddl

revision = "excititor_0003"
down_revision = "excititor_0002"
branch_labels = None
depends_on = None

part = Part.PROOF
removable = True


def upgrade() -> None:
    proof = VEX_RAW.required_check()
    ddl.validate(VEX_RAW.table, VEX_RAW.row_checks(), proof=proof)
    ddl.set_not_null(VEX_RAW.table, VEX_RAW.required, proof, revision)


def downgrade() -> None:
    ddl.unprove(VEX_RAW.table, VEX_RAW.row_checks(), VEX_RAW.required_check(), revision)
