"""Guard new rows: every rule except the one on content, as CHECK NOT VALID.

Why: from now on, no new row can break the contract; the next revision proves the existing rows.
Locks: ACCESS EXCLUSIVE on vex_raw for an instant; nothing is scanned.
If it fails: nothing was changed; run the same command again.
Reversible: yes, the constraints are dropped.
"""

from alembic import op

from aoc_migrate.contract.v1 import VEX_RAW, Part

revision = "excititor_0002"
down_revision = "excititor_0001"
branch_labels = None
depends_on = None

part = Part.GUARD
removable = True


def upgrade() -> None:
    op.add_checks(
        "vex_raw",
        ["vex_raw_keys_v1", "vex_raw_objects_v1"],
        contract=VEX_RAW,
        proof="vex_raw_required_v1",
    )


def downgrade() -> None:
    op.drop_checks(
        "vex_raw",
        ["vex_raw_keys_v1", "vex_raw_objects_v1", "vex_raw_required_v1"],
        contract=VEX_RAW,
    )
