"""What no test runs or notices, each with its reason: uncovered.toml for lines, survivors.toml for mutants.

Places are named by their text, so that they move with the code: the file, the dotted name of a function or class,
and the text of a line. Entries of uncovered.toml have several ``places`` for one ``reason``, as "file: inside:
code"; without code, they mean the whole function. Those of survivors.toml have ``file``, ``inside``, ``code`` and
``becomes``.
"""

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.proofs.record import ROOT

FOLDER = Path(__file__).parent
UNCOVERED = FOLDER / "uncovered.toml"
SURVIVORS = FOLDER / "survivors.toml"


@dataclass(frozen=True)
class Excuse:
    """One entry. Of a mutant, ``code`` is the text that is changed, and ``becomes`` what it is changed to."""

    file: str
    reason: str
    inside: str = ""
    code: str = ""
    becomes: str = ""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.inside, self.code) if part)


def read(file: Path) -> list[Excuse]:
    """Return the entries of a file."""
    entries = list[Excuse]()
    for entry in tomllib.loads(file.read_text(encoding="utf-8")).get("excuse", []):
        for place in entry.pop("places", ()):
            name, inside, code = (*place.split(": ", 2), "", "")[:3]
            entries.append(Excuse(name, entry["reason"], inside.strip(), code))
        if "file" in entry:
            entries.append(Excuse(**entry))
    return entries


def scopes(tree: ast.AST, outer: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Yield the functions and classes of a tree with their dotted names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{outer}.{node.name}" if outer else node.name
            yield name, node
            yield from scopes(node, name)
        else:
            yield from scopes(node, outer)


def excused(entry: Excuse) -> set[int]:
    """Return the lines that an entry of uncovered.toml is about; none if nothing matches it any more.

    With ``code``, these are the lines of each statement that begins with this line, blocks inside it included.
    """
    file = ROOT / entry.file
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    lines, tree = text.splitlines(), ast.parse(text)
    within = dict(scopes(tree)).get(entry.inside) if entry.inside else tree
    if within is None:
        return set()
    if not entry.code:
        return set(range(getattr(within, "lineno", 1), (getattr(within, "end_lineno", None) or len(lines)) + 1))
    found: set[int] = set()
    for node in ast.walk(within):
        start = node.pattern if isinstance(node, ast.match_case) else node
        begin = getattr(start, "lineno", 0)
        if begin and lines[begin - 1].strip() == entry.code:
            end = node.body[-1].end_lineno if isinstance(node, ast.match_case) else getattr(node, "end_lineno", 0)
            found |= set(range(begin, (end or begin) + 1))
    return found
