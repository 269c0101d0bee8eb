"""Baseline: the raw table and its supersedes column exist.

Why: on a fresh installation, the init container runs before the service, and later revisions need the table.
Locks: ACCESS EXCLUSIVE on vex_raw for an instant, only if the column is missing.
If it fails: nothing was changed; run the same command again.
Reversible: yes, but the table, the column and every row stay: no downgrade drops them.
"""

from alembic import op

from aoc_migrate.contract.v1 import VEX_RAW, Part

revision = "excititor_0001"
down_revision = None
branch_labels = ("excititor",)
depends_on = None

part = Part.TABLE


def upgrade() -> None:
    op.create_raw_table("vex_raw", contract=VEX_RAW, revision=revision)


def downgrade() -> None:
    op.keep_raw_table("vex_raw", revision=revision)
