"""Advisory view swap: the legacy table becomes advisory_backup_20251028, a view takes its place.

Why: merged advisories are history; they stay readable under their old name and can no longer be written.
Locks: ACCESS EXCLUSIVE on advisory for an instant; sessions that wait go on through the view.
If it fails: nothing was changed; run the same command again.
Reversible: yes, the view goes and the table gets its name back; it never lost owner, grants or policies.
"""

from aoc_migrate.contract.v1 import ADVISORY_VIEW, Part
from aoc_migrate.database import ddl

revision = "concelier_0008"
down_revision = "concelier_0007"
branch_labels = None
depends_on = None

part = Part.VIEW
swap = ADVISORY_VIEW


def upgrade() -> None:
    ddl.swap_for_view(ADVISORY_VIEW, revision)


def downgrade() -> None:
    ddl.swap_back(ADVISORY_VIEW, revision)
