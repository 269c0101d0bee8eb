"""Queries that only observe the work: one that fails is reported once, and ends nothing."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from aoc_migrate.database.error_text import first_line
from aoc_migrate.database.session import Session

_CLOCKS = 0.99  # the server's clock and ours may run at slightly different speeds


def cancelled_by_person(error: psycopg.Error, elapsed: float, bound: float) -> bool:
    """Return whether a person cancelled a statement that ran ``elapsed`` of the ``bound`` seconds it may take.

    PostgreSQL raises 57014 both for `statement_timeout` and for `pg_cancel_backend`, and translates the words that
    distinguish them. No statement ends by its timeout before it has run that long, so a person caused an earlier
    end. ``bound`` is infinite where no timeout is set.
    """
    return isinstance(error, psycopg.errors.QueryCanceled) and elapsed < bound * _CLOCKS


def ends_the_work(session: Session, error: psycopg.Error, bound: float) -> bool:
    """Return whether an error of an observing query ends the work too: a lost connection, a person's cancel."""
    return session.connection.closed or cancelled_by_person(error, session.elapsed, bound)


def say_unseen(session: Session, what: str, reason: str) -> None:
    """Log once in a run that ``what`` cannot be seen, and why."""
    if what not in session.unseen:
        session.unseen.add(what)
        session.say(f"cannot see {what} ({reason}); going on without it", "unseen", "warning")


@contextmanager
def only_observing(session: Session, what: str, bound: float = math.inf) -> Iterator[None]:
    """Survive an error of a query inside, and log once in a run that ``what`` cannot be seen.

    A lost connection, and a cancel by a person within ``bound`` seconds, end the work all the same.
    """
    try:
        yield
    except psycopg.Error as error:
        if ends_the_work(session, error, bound):
            raise
        say_unseen(session, what, first_line(error, session.target))
