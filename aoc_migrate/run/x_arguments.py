"""What stock Alembic's ``-x NAME=VALUE`` says: findings to accept, and the change ticket."""

import os
from typing import Any

from alembic.util import CommandError

from aoc_migrate.report.accepted import Accepted
from aoc_migrate.report.ticket import ticket_named


def accepted(context: Any) -> Accepted:
    """Return the findings that ``-x accept=SLUG:OBJECT`` accepts. The option may be repeated."""
    try:
        return Accepted.of(_given(context, "accept"))
    except ValueError as error:
        raise CommandError(f"-x accept: {error}") from None


def ticket(context: Any) -> str | None:
    """Return the change ticket that ``-x ticket=NAME`` names, or AOC_TICKET, or None."""
    name = next(iter(_given(context, "ticket")), None) or os.environ.get("AOC_TICKET")
    try:
        return ticket_named(name) if name else None
    except ValueError as error:
        raise CommandError(f"-x ticket: {error}") from None


def _given(context: Any, name: str) -> list[str]:
    arguments = [text.partition("=") for text in context.get_x_argument()]
    return [value for given, _, value in arguments if given == name]
