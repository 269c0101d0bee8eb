"""A record of the SQL that changes something, written as it runs, in a form that psql can run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from aoc_migrate.report.formatting import plain

_READS = ("SELECT", "SHOW")


class Transcript:
    r"""Passes each statement to ``write`` before it runs, except reads; ``\g`` makes psql repeat the last one.

    Statements contain their values: names, times and counts of our own bookkeeping, never parts of a document.
    """

    def __init__(self, connection: psycopg.Connection[Any], write: Callable[[str], None]) -> None:
        self.connection, self.write = connection, write
        self.last, self.open, self.lone = "", False, False

    @contextmanager
    def statement(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> Iterator[None]:
        """Write a statement down, and a comment where it fails."""
        if sql.lstrip().upper().startswith(_READS):
            yield
            return
        self._put(sql, parameters)
        try:
            yield
        except psycopg.Error as error:
            self.last = ""
            self.write(f"-- failed: {error.sqlstate or type(error).__name__}\n")
            raise

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Write the statement in the block down without the transaction that it shares with our checks."""
        before, self.lone = self.lone, not self._inside()
        try:
            yield
        finally:
            self.lone = before

    def commit(self) -> None:
        """The transaction is committed."""
        self._over("COMMIT")

    def rollback(self) -> None:
        """The transaction is rolled back."""
        self._over("ROLLBACK")

    def comment(self, words: str) -> None:
        """Write a comment, in one line whatever is in it."""
        self.last = ""
        self.write(f"\n-- {plain(words)}\n")

    def _put(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None) -> None:
        text = psycopg.ClientCursor(self.connection).mogrify(sql.encode(), parameters) if parameters else sql
        if text == self.last:
            self.write("\\g\n")
            return
        if not self.open and not self.lone and self._inside():
            self.write("BEGIN;\n")
            self.open = True
        self.write(f"{text};\n")
        self.last = text

    def _over(self, word: str) -> None:
        if self.open:
            self.write(f"{word};\n")
        self.open, self.last = False, ""

    def _inside(self) -> bool:
        """Whether the next statement runs in a transaction: psycopg begins one unless it is in autocommit."""
        idle = self.connection.info.transaction_status == TransactionStatus.IDLE
        return not idle or not self.connection.autocommit
