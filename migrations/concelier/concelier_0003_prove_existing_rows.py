"""Prove existing rows: validate the CHECKs in one scan, then SET NOT NULL without another.

Why: a constraint that is not validated says nothing about existing rows.
Locks: SHARE UPDATE EXCLUSIVE on advisory_raw during the scan (reads and writes go on), then ACCESS EXCLUSIVE for
an instant.
If it fails: new rows stay guarded; repair the rows that the audit reports, then run the same command again.
Reversible: yes, the CHECKs become NOT VALID again, and each NOT NULL that this revision set is dropped.
"""

from alembic import op

from aoc_migrate.contract.v1 import ADVISORY_RAW, Part

revision = "concelier_0003"
down_revision = "concelier_0002"
branch_labels = None
depends_on = None

part = Part.PROOF
removable = True


def upgrade() -> None:
    op.validate_checks(
        "advisory_raw", ["advisory_raw_keys_v1", "advisory_raw_objects_v1"], proof="advisory_raw_required_v1"
    )
    op.set_not_null("advisory_raw", contract=ADVISORY_RAW, proof="advisory_raw_required_v1", revision=revision)


def downgrade() -> None:
    op.invalidate_checks(
        "advisory_raw",
        ["advisory_raw_keys_v1", "advisory_raw_objects_v1"],
        contract=ADVISORY_RAW,
        proof="advisory_raw_required_v1",
        revision=revision,
    )
