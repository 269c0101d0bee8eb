"""Guard new rows: every rule except the one on content, as CHECK NOT VALID.

Why: from now on, no new row can break the contract; the next revision proves the existing rows.
Locks: ACCESS EXCLUSIVE on advisory_raw for an instant; nothing is scanned.
If it fails: nothing was changed; run the same command again.
Reversible: yes, the constraints are dropped.
"""

from alembic import op

from aoc_migrate.contract.v1 import ADVISORY_RAW, Part

revision = "concelier_0002"
down_revision = "concelier_0001"
branch_labels = None
depends_on = None

part = Part.GUARD
removable = True


def upgrade() -> None:
    op.add_checks(
        "advisory_raw",
        ["advisory_raw_keys_v1", "advisory_raw_objects_v1"],
        contract=ADVISORY_RAW,
        proof="advisory_raw_required_v1",
    )


def downgrade() -> None:
    op.drop_checks(
        "advisory_raw",
        ["advisory_raw_keys_v1", "advisory_raw_objects_v1", "advisory_raw_required_v1"],
        contract=ADVISORY_RAW,
    )
