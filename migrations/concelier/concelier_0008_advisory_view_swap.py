"""Advisory view swap: the legacy table becomes advisory_backup_20251028, and a view takes its place.

Why: merged advisories are history: they stay readable under the old name, but no longer writable.
Locks: ACCESS EXCLUSIVE on advisory for an instant; sessions that waited then use the view.
If it fails: nothing was changed; run the same command again.
Reversible: yes, the view is dropped and the table gets its name back; it never lost its owner or its policies, and
rights to read that changed on the view follow it.
"""

from alembic import op

from aoc_migrate.contract.v1 import ADVISORY_VIEW, Part

revision = "concelier_0008"
down_revision = "concelier_0007"
branch_labels = None
depends_on = None

part = Part.VIEW
swap = ADVISORY_VIEW


def upgrade() -> None:
    op.swap_for_view("advisory", "advisory_backup_20251028", revision=revision)


def downgrade() -> None:
    op.swap_back("advisory", "advisory_backup_20251028", revision=revision)
