"""Guard content: no forbidden key at the top level of content, for new and old rows.

Why: this completes contract v1. It comes after the backfill, because every UPDATE checks it again and has to
read the whole document for that.
Locks: ACCESS EXCLUSIVE on vex_raw for an instant, then SHARE UPDATE EXCLUSIVE during the scan.
If it fails: new rows may be guarded already; mend the rows that the audit names and run the same command.
Reversible: yes, the constraint is dropped.
"""

from aoc_migrate.contract.v1 import VEX_RAW, Part
from aoc_migrate.database import ddl

revision = "excititor_0007"
down_revision = "excititor_0006"
branch_labels = None
depends_on = None

part = Part.CONTENT
completes = VEX_RAW
removable = True


def upgrade() -> None:
    ddl.add_checks(VEX_RAW.table, [VEX_RAW.document_check()])
    ddl.validate(VEX_RAW.table, [VEX_RAW.document_check()])


def downgrade() -> None:
    ddl.drop_checks(VEX_RAW.table, [VEX_RAW.document_check()])
