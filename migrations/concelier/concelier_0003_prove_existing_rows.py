"""Prove existing rows: validate the CHECKs in one scan, then NOT NULL without another.

Why: only a validated constraint says something about the rows that were there before.
Locks: SHARE UPDATE EXCLUSIVE on advisory_raw during the scan (reads and writes go on), then ACCESS EXCLUSIVE for
an instant.
If it fails: new rows stay guarded; mend the rows that the audit names and run the same command again.
Reversible: yes, the CHECKs become NOT VALID again, and NOT NULL goes where this revision had set it.
"""

from aoc_migrate.contract.v1 import ADVISORY_RAW, Part
from aoc_migrate.database import ddl

revision = "concelier_0003"
down_revision = "concelier_0002"
branch_labels = None
depends_on = None

part = Part.PROOF
removable = True


def upgrade() -> None:
    proof = ADVISORY_RAW.required_check()
    ddl.validate(ADVISORY_RAW.table, ADVISORY_RAW.row_checks(), proof=proof)
    ddl.set_not_null(ADVISORY_RAW.table, ADVISORY_RAW.required, proof, revision)


def downgrade() -> None:
    ddl.unprove(ADVISORY_RAW.table, ADVISORY_RAW.row_checks(), ADVISORY_RAW.required_check(), revision)
