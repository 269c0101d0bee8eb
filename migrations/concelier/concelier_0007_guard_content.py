"""Guard content: no forbidden key at the top level of content, for new and old rows.

Why: it completes contract v1. It follows the backfill, because every UPDATE checks it again and must read the
whole document to do so.
Locks: ACCESS EXCLUSIVE on advisory_raw for an instant, then SHARE UPDATE EXCLUSIVE during the scan.
If it fails: new rows may already be guarded; repair the rows that the audit reports and run the command again.
Reversible: yes, the constraint is dropped.
"""

from alembic import op

from aoc_migrate.contract.v1 import ADVISORY_RAW, Part

revision = "concelier_0007"
down_revision = "concelier_0006"
branch_labels = None
depends_on = None

part = Part.CONTENT
completes = ADVISORY_RAW
removable = True


def upgrade() -> None:
    op.add_checks("advisory_raw", ["advisory_raw_content_v1"], contract=ADVISORY_RAW)
    op.validate_checks("advisory_raw", ["advisory_raw_content_v1"])


def downgrade() -> None:
    op.drop_checks("advisory_raw", ["advisory_raw_content_v1"], contract=ADVISORY_RAW)
