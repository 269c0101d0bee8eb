"""What revisions do to a database: each function once online, with bounded stalls, and once as SQL.

Released revisions call these functions and depend on the SQL that they render: it may not change
(tests/golden holds it). A function that must do something else gets a new name. Every function is
convergent: online it asks the catalog and does what is missing, so it may be run again after a crash
anywhere.
"""

from aoc_migrate.database.ddl.checks import add_checks, drop_checks, set_not_null, unprove, validate
from aoc_migrate.database.ddl.index import create_index, drop_index
from aoc_migrate.database.ddl.links import backfill_links, restore_links
from aoc_migrate.database.ddl.table import create_table, keep_table
from aoc_migrate.database.ddl.view import swap_back, swap_for_view

__all__ = [
    "add_checks",
    "backfill_links",
    "create_index",
    "create_table",
    "drop_checks",
    "drop_index",
    "keep_table",
    "restore_links",
    "set_not_null",
    "swap_back",
    "swap_for_view",
    "unprove",
    "validate",
]
