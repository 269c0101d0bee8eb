"""${message}.

Why: what breaks without it, and for whom?
Locks: which lock on which table, for how long? One lock profile a revision: instant strong lock, scan
under a weak lock, or autocommit. Two of them are two revisions.
If it fails: what stands, and does the same command go on?
Reversible: what does the downgrade restore, and from where does it know?
"""

# While this runs, the previous version of the services is still writing to the table, and pods restart and
# run `upgrade` again. So:
# - call functions of aoc_migrate.database.ddl only: they bound stalls (--max-stall, 100 ms), ask the catalog,
#   and can be run again after a crash anywhere; a new kind of change is a new function there;
# - take what the contract says from aoc_migrate.contract.vN, and never change a released version of it;
# - never edit this file once it is on main: tests/golden holds its SQL, up and down.

from aoc_migrate.contract.v1 import Part
from aoc_migrate.database import ddl

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}

part = Part.GUARD


def upgrade() -> None:
    ${upgrades if upgrades else "ddl.add_checks(...)"}


def downgrade() -> None:
    ${downgrades if downgrades else "ddl.drop_checks(...)"}
