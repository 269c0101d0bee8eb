"""${message}.

Why: what breaks without it, and for whom?
Locks: which lock on which table, for how long? One lock profile per revision: instant strong lock, scan
under a weak lock, or autocommit. If you need two profiles, write two revisions.
If it fails: what has changed by then, and does the same command resume?
Reversible: what does the downgrade restore, and how does it know?
"""

# While this runs, the previous version of the services still writes to the table, and pods restart and run
# `upgrade` again. So:
# - name the tables, constraints and indexes here, in the operation that creates them and in the one that drops
#   them: op.add_checks, op.validate_checks, op.set_not_null, op.create_index_concurrently, op.swap_for_view and
#   their counterparts bound stalls (--max-stall, 100 ms), ask the catalog, and can run again after a crash at
#   any point; a new kind of change needs a new operation in aoc_migrate.operations;
# - Alembic's own operations also work, but nothing limits how long they wait or run: use them only on new and
#   empty tables, always with schema=op.get_context().version_table_schema;
# - take the contract from aoc_migrate.contract.vN, and never change a released version of it;
# - never edit this file once it is on main: tests/golden records its SQL, up and down.

from alembic import op

from aoc_migrate.contract.v1 import Part

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}

part = Part.GUARD


def upgrade() -> None:
    ${upgrades if upgrades else "op.add_checks(...)"}


def downgrade() -> None:
    ${downgrades if downgrades else "op.drop_checks(...)"}
