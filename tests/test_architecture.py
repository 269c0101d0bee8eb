"""The imports and habits of the code, read from its source and from running processes."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = sorted((ROOT / "aoc_migrate").rglob("*.py"))
REVISIONS = sorted((ROOT / "migrations").glob("*/[a-z]*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
FLOORS = (
    ("cli",),
    ("run",),
    ("quarantine", "kit"),
    ("psql",),
    ("revisions",),
    ("inspect",),
    ("operations",),
    ("database",),
    ("contract", "report"),
)
ROOMS = [room for floor in FLOORS for room in floor]
VERBS = {"cli", "run", "quarantine", "kit"}
"""The rooms through which a command is followed under one name."""
EVERYBODY = ("aoc_migrate", "aoc_migrate.errors")


def name_of(path: Path) -> str:
    """Return the dotted name of a module."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in PACKAGE}


@cache
def imports(path: Path) -> list[str]:
    """Return every module that a file imports, also inside functions, and for type checkers only."""
    return list(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where they point"
            origin = str(node.module)
            inside = [f"{origin}.{a.name}" for a in node.names if f"{origin}.{a.name}" in MODULES]
            yield from inside
            if len(inside) < len(node.names):
                yield origin


def layer(module: str) -> str:
    """Return the folder of a module inside the package."""
    return module.split(".")[1] if "." in module else ""


def ours(path: Path) -> list[str]:
    """Return the imported modules of the package, but for the two that everybody may import."""
    return [m for m in imports(path) if m.split(".")[0] == "aoc_migrate" and m not in EVERYBODY]


@pytest.mark.parametrize("name", ROOMS)
def test_imports_point_down(name: str) -> None:
    """A room imports itself and the rooms on the floors below it, and nothing else of the package."""
    below = next(FLOORS[number + 1 :] for number, floor in enumerate(FLOORS) if name in floor)
    allowed = {name, *(room for floor in below for room in floor), *(["sandbox"] if name == "cli" else [])}
    files = [path for module, path in MODULES.items() if layer(module) == name]

    wrong = [(name_of(path), m) for path in files for m in ours(path) if layer(m) not in allowed]

    assert files
    assert wrong == []


def test_no_file_name_is_on_two_floors() -> None:
    """A file's name says its room: only a command's verb is on several floors, and messages name their subject."""
    found: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        if path.stem != "__init__" and layer(module) in ROOMS and ".messages." not in module:
            found.setdefault(path.stem, set()).add(layer(module))
    floors = {name: {next(f for f in FLOORS if room in f) for room in rooms} for name, rooms in found.items()}

    assert {n: found[n] for n, which in floors.items() if len(which) > 1 and not found[n] <= VERBS} == {}


def test_the_sandbox_imports_only_itself() -> None:
    """The sandbox imports only itself: it must not need what it helps to test."""
    files = [path for module, path in MODULES.items() if layer(module) == "sandbox"]

    assert {layer(m) for path in files for m in ours(path)} == {"sandbox"}


def test_no_module_imports_itself_through_others() -> None:
    """No module imports itself through others."""
    arrows = {name: {m for m in ours(path) if m != name} for name, path in MODULES.items()}
    while leaves := [name for name, targets in arrows.items() if not targets & arrows.keys()]:
        for leaf in leaves:
            del arrows[leaf]

    assert arrows == {}


KEPT_TO = {
    "click": {"cli"},
    "jinja2": {"psql", "report"},
    "rich": {"report"},
    "prometheus_client": {"report"},
    "sqlalchemy": {"run"},
    "alembic": {"run", "revisions", "operations"},
    "psycopg": {"cli", "quarantine", "run", "revisions", "inspect", "operations", "database", "sandbox"},
}


def test_versions_of_postgresql_are_asked_in_one_place() -> None:
    """What differs between majors is in database/majors.py, and for tests in tests/postgres_versions.py."""
    asking = re.compile(r"server_version_num|info[.]server_version")
    files = {*PACKAGE, *TESTS, *(ROOT / "aoc_migrate").rglob("*.j2")} - {Path(__file__)}

    found = {str(path.relative_to(ROOT)) for path in files if asking.search(path.read_text(encoding="utf-8"))}

    assert found == {"aoc_migrate/database/majors.py", "tests/postgres_versions.py"}


@pytest.mark.parametrize("library", KEPT_TO)
def test_libraries_are_kept_to_their_layers(library: str) -> None:
    """Only the command line imports click, only running imports Alembic, and the contract imports no library."""
    users = {layer(n) for n, path in MODULES.items() for m in imports(path) if m.split(".")[0] == library}

    assert users
    assert users <= KEPT_TO[library]


@pytest.mark.parametrize("path", REVISIONS, ids=lambda path: path.stem)
def test_revisions_import_only_what_is_frozen(path: Path) -> None:
    """A revision imports Alembic, SQLAlchemy and a numbered contract, nothing else."""
    allowed = re.compile(r"aoc_migrate\.contract\.v\d+|(alembic|sqlalchemy)(\..*)?")

    assert [m for m in imports(path) if not allowed.fullmatch(m)] == []


def test_revisions_name_a_version_of_the_contract() -> None:
    """No module of contracts offers a name for the contract of the day, which a revision could import."""
    for path in (ROOT / "aoc_migrate" / "contract").glob("v*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert not {n for n in names if re.match("(?i)current|latest|head", n)}


@pytest.mark.parametrize("path", REVISIONS, ids=lambda path: path.stem)
def test_revisions_explain_themselves(path: Path) -> None:
    """A revision says why, which locks, what if it fails and whether it is reversible, in at most 60 lines."""
    text = path.read_text(encoding="utf-8")
    title, _, body = (ast.get_docstring(ast.parse(text)) or "").partition("\n")
    found = re.findall(r"^(Why|Locks|If it fails|Reversible): \S", body, re.MULTILINE)
    (revision,) = re.findall(r'^revision = "(.+)"$', text, re.MULTILINE)

    assert title.endswith(".")
    assert found == ["Why", "Locks", "If it fails", "Reversible"]
    assert len(text.splitlines()) <= 60
    assert len(revision) <= 32
    assert re.fullmatch(rf"{path.parent.name}_\d{{4}}", revision)
    assert path.stem.startswith(f"{revision}_")


def test_files_stay_short() -> None:
    """No file is longer than 250 lines."""
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in [*PACKAGE, *TESTS]}

    assert {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > 250} == {}


def bad_habits(path: Path) -> Iterator[str]:
    """Yield the lines of a file where an error vanishes, or where it writes to stdout."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.ExceptHandler(type=None):
                yield f"{path}:{node.lineno}: bare except"
            case ast.ExceptHandler(body=[ast.Pass()]):
                yield f"{path}:{node.lineno}: an error vanishes"
            case ast.Call(func=ast.Name(id="print")) if "file=sys.stderr" not in ast.unparse(node):
                yield f"{path}:{node.lineno}: print"
            case ast.Attribute(attr="stdout") if ast.unparse(node) == "sys.stdout" and path.stem != "streams":
                yield f"{path}:{node.lineno}: sys.stdout"


def test_nothing_prints_or_swallows_an_error() -> None:
    """Nothing but click writes to stdout, through cli/streams.py; no error is swallowed whole."""
    assert [habit for path in PACKAGE for habit in bad_habits(path)] == []


def test_no_subquery_is_negated() -> None:
    """No query says NOT IN (SELECT …): above work_mem PostgreSQL reads the subquery again for each row."""
    wrong = [name for name, path in MODULES.items() if "NOT IN (SELECT" in path.read_text("utf-8")]

    assert wrong == []


def test_the_picture_is_true() -> None:
    """docs/architecture.md lists every room; its arrows lead where the imports do, directly or not."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawn = [(a, b) for a, b in re.findall(r"(?m)^  (\w+) --> (\w+)$", page) if not a.startswith("migrations")]
    real = {(layer(name), layer(m)) for name, path in MODULES.items() for m in ours(path)}
    real = {(a, b) for a, b in real if a != b and a in [*ROOMS, "sandbox"]}

    def reached(pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
        more = pairs | {(a, d) for a, b in pairs for c, d in pairs if b == c}
        return pairs if more == pairs else reached(more)

    assert reached({*drawn}) == reached(real)
    assert [pair for pair in drawn if pair in reached({*drawn} - {pair})] == []
    table = page.partition("| room | holds |")[2].partition("\n\n")[0]
    assert {*re.findall(r"(?m)^\| `(\w+)` \|", table)} == {*ROOMS, "sandbox", "migrations"}
