"""Steps that prove the rows: one that came in after the audit may break the rule."""

from psycopg import errors

from aoc_migrate.database.error_text import RAISED, first_line
from aoc_migrate.database.session import Session
from aoc_migrate.errors import Abort
from aoc_migrate.operations.step import Step, title
from aoc_migrate.report.model import finding

_REFUSED = (errors.CheckViolation, errors.UniqueViolation)
"""What a build or a proof says of a row. A NOT NULL holds new rows from the start, so no late row breaks it."""


def run_on_rows(session: Session, step: Step) -> None:
    """Run the statements of a Step. Raises Abort ``row-refused`` if PostgreSQL refuses a row of the table."""
    try:
        session.run(*step.sql)
    except _REFUSED as error:
        # Two sessions created an object of one name, or code of others raised this error.
        if error.diag.schema_name == "pg_catalog" or error.diag.source_function == RAISED:
            raise
        target = session.target
        found = finding("row-refused", title([step]), reason=first_line(error, target), target=target.name)
        raise Abort(found) from None
