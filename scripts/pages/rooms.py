"""The picture of the rooms in docs/architecture.md: a Mermaid flowchart made from the imports."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

Arrows = dict[str, set[str]]

REVISIONS = "migrations"
ENVIRONMENT = "migrations/env.py"
OPERATIONS = "operations"
BY_ALEMBIC = "-. op .->"


def picture(package: Path, migrations: Path) -> Iterator[str]:
    """Yield the lines of the picture: a box for each room, and the arrows that no other path implies.

    A revision calls the operations as ``op.…``, which they register with Alembic: that arrow is dotted.
    """
    found = arrows(package, migrations)
    yield from ("```mermaid", "flowchart TD")
    yield from (f'  {box(room)}["{room}"]' for room in found)
    for room, others in reduced(found).items():
        for other in sorted(others):
            arrow = BY_ALEMBIC if (room, other) == (REVISIONS, OPERATIONS) else "-->"
            yield f"  {box(room)} {arrow} {box(other)}"
    yield "```"


def box(room: str) -> str:
    """Return the id of a room's box, a word."""
    return re.sub(r"\W", "_", room)


def arrows(package: Path, migrations: Path) -> Arrows:
    """Return the rooms that each room imports, also inside functions."""
    rooms = sorted(path.parent.name for path in package.glob("*/__init__.py"))
    found = {room: imported((package / room).rglob("*.py")) for room in rooms}
    found[ENVIRONMENT] = imported([migrations / "env.py"])
    revisions = list(migrations.glob("*/*.py"))
    found[REVISIONS] = imported(revisions)
    if any("from alembic import op\n" in path.read_text(encoding="utf-8") for path in revisions):
        found[REVISIONS].add(OPERATIONS)
    return {room: others & {*rooms} - {room} for room, others in found.items()}


def imported(files: Iterable[Path]) -> set[str]:
    """Return the names that follow ``aoc_migrate.`` in the imports of some files."""
    statement = re.compile(r"^\s*(?:from|import) aoc_migrate\.(\w+)", re.MULTILINE)
    return {name for path in files for name in statement.findall(path.read_text(encoding="utf-8"))}


def reduced(found: Arrows) -> Arrows:
    """Return the arrows without those that a longer path implies. The rooms have no cycles."""

    def below(room: str) -> set[str]:
        return found[room].union(*map(below, found[room]))

    return {room: others.difference(*map(below, others)) for room, others in found.items()}
