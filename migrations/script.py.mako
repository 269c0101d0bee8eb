"""${message}.

Why: what breaks without it, and for whom?
Locks: which lock on which table, for how long? One lock profile a revision: instant strong lock, scan
under a weak lock, or autocommit. Two of them are two revisions.
If it fails: what is changed by then, and does the same command go on?
Reversible: what does the downgrade restore, and from where does it know?
"""

# While this runs, the previous version of the services is still writing to the table, and pods restart and
# run `upgrade` again. So:
# - name the tables, constraints and indexes here, in the operation that makes them and in the one that takes
#   them back: op.add_checks, op.validate_checks, op.set_not_null, op.create_index_concurrently, op.swap_for_view
#   and their counterparts bound stalls (--max-stall, 100 ms), ask the catalog, and can be run again after a
#   crash anywhere; a new kind of change is a new operation in aoc_migrate.operations;
# - Alembic's own operations work as well, but nothing bounds how long they wait or run: use them for what is new
#   and empty, always with schema=op.get_context().version_table_schema;
# - take what the contract says from aoc_migrate.contract.vN, and never change a released version of it;
# - never edit this file once it is on main: tests/golden holds its SQL, up and down.

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
