"""Lines of log on stderr. No line ends the work: what cannot be written is lost."""

import logging
import sys
from contextlib import suppress

from aoc_migrate.report.formatting import plain

logging.getLogger("psycopg").addHandler(logging.NullHandler())  # otherwise Python prints what it warns of


def say(message: str) -> None:
    """Write one line of log to stderr, with control characters escaped; stdout belongs to the report."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            sys.stderr.write(f"{plain(message)}\n")
            sys.stderr.flush()
