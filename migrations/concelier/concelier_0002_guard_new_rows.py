"""Guard new rows: every rule but the one on content, as CHECK NOT VALID.

Why: from this moment no new row can break the contract; the rows that exist are proven next.
Locks: ACCESS EXCLUSIVE on advisory_raw for an instant; nothing is scanned.
If it fails: nothing was changed; run the same command again.
Reversible: yes, the constraints are dropped.
"""

from aoc_migrate.contract.v1 import ADVISORY_RAW, Part
from aoc_migrate.database import ddl

revision = "concelier_0002"
down_revision = "concelier_0001"
branch_labels = None
depends_on = None

part = Part.GUARD
removable = True


def upgrade() -> None:
    ddl.add_checks(ADVISORY_RAW.table, ADVISORY_RAW.row_checks(), proof=ADVISORY_RAW.required_check())


def downgrade() -> None:
    ddl.drop_checks(ADVISORY_RAW.table, [*ADVISORY_RAW.row_checks(), ADVISORY_RAW.required_check()])
