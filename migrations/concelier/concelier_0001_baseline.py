"""Baseline: the raw table and its supersedes column exist.

Why: on a fresh installation, the init container runs before the service, and later revisions need the table.
Locks: ACCESS EXCLUSIVE on advisory_raw for an instant, only if the column is missing.
If it fails: nothing was changed; run the same command again.
Reversible: yes, but the table, the column and every row stay: no downgrade drops them.
"""

from alembic import op

from aoc_migrate.contract.v1 import ADVISORY_RAW, Part

revision = "concelier_0001"
down_revision = None
branch_labels = ("concelier",)
depends_on = None

part = Part.TABLE


def upgrade() -> None:
    op.create_raw_table("advisory_raw", contract=ADVISORY_RAW, revision=revision)


def downgrade() -> None:
    op.keep_raw_table("advisory_raw", revision=revision)
