"""What each client of the soak was answered, on disk as soon as it knows."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

_LONGEST = 40


@dataclass
class Notes:
    """A file of one JSON object a line: rows (acknowledged, refused or unknown), failures, and the end."""

    folder: Path
    name: str
    done: Counter[str] = field(default_factory=Counter)
    waits: list[tuple[float, float, str]] = field(default_factory=list)
    """The longest statements: milliseconds, when they began (monotonic clock), and what they were."""

    def __post_init__(self) -> None:
        self.file = (self.folder / f"{self.name}.notes").open("w", buffering=1, encoding="utf-8")

    def write(self, kind: str, **values: Any) -> None:
        """Write a line, which a kill of this process does not take back."""
        self.file.write(json.dumps({"kind": kind, **values}) + "\n")

    @contextmanager
    def statement(self, connection: "psycopg.Connection[Any] | None", what: str) -> Iterator[None]:
        """Time a statement, and note its failure, which is then raised again."""
        begun = time.monotonic()
        pid = connection.info.backend_pid if connection and not connection.closed else 0
        try:
            yield
        except psycopg.Error as error:
            self.write(
                "failure",
                what=what,
                pid=pid,
                begun=begun,
                ended=time.monotonic(),
                sqlstate=error.sqlstate or "",
                constraint=error.diag.constraint_name or "",
                message=str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__,
            )
            raise
        self.done[what] += 1
        self.waits.append(((time.monotonic() - begun) * 1000, begun, what))
        if len(self.waits) > 50 * _LONGEST:
            self._trim()

    def _trim(self) -> None:
        self.waits = sorted(self.waits, reverse=True)[:_LONGEST]

    def end(self) -> None:
        """Write the sums; a file without this line is that of a client that died."""
        self._trim()
        self.write("end", done=self.done, waits=self.waits)
        self.file.close()


def read(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the lines of every client; a last line that is cut off is left out."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.notes")):
        lines = found.setdefault(path.stem, [])
        for line in path.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):
                lines.append(json.loads(line))
    return found
