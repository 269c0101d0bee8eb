"""Prove existing rows: validate the CHECKs in one scan, then SET NOT NULL without another.

Why: a constraint that is not validated says nothing about existing rows.
Locks: SHARE UPDATE EXCLUSIVE on vex_raw during the scan (reads and writes go on), then ACCESS EXCLUSIVE for
an instant.
If it fails: new rows stay guarded; repair the rows that the audit reports, then run the same command again.
Reversible: yes, the CHECKs become NOT VALID again, and each NOT NULL that this revision set is dropped.
"""

from alembic import op

from aoc_migrate.contract.v1 import VEX_RAW, Part

revision = "excititor_0003"
down_revision = "excititor_0002"
branch_labels = None
depends_on = None

part = Part.PROOF
removable = True


def upgrade() -> None:
    op.validate_checks("vex_raw", ["vex_raw_keys_v1", "vex_raw_objects_v1"], proof="vex_raw_required_v1")
    op.set_not_null("vex_raw", contract=VEX_RAW, proof="vex_raw_required_v1", revision=revision)


def downgrade() -> None:
    op.invalidate_checks(
        "vex_raw",
        ["vex_raw_keys_v1", "vex_raw_objects_v1"],
        contract=VEX_RAW,
        proof="vex_raw_required_v1",
        revision=revision,
    )
