"""Makes mutants of a module: copies with one small change each, that a good test should notice.

A module is compared and written in the form of `ast.unparse`, so a change of its layout or its comments alters no
mutant. Docstrings, annotations and sentences for people are left alone; text that is SQL is changed as SQL.
"""

import ast
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

SQL = re.compile(
    r"\b(SELECT|FROM|WHERE|AND|OR|NOT|ALTER|CREATE|DROP|UPDATE|INSERT|DELETE|ORDER BY|SET|EXISTS|JOIN|COLLATE|"
    r"UNIQUE|OPERATOR|LOCK)\b|pg_catalog"
)
SQL_CHANGES = [
    (r"\bIS NOT (?=NULL|DISTINCT)", "IS "),
    (r"\bIS (?=NULL|DISTINCT)", "IS NOT "),
    (r"(?<!IF )\bNOT EXISTS\b", "EXISTS"),
    (r"(?<!NOT )(?<!IF )\bEXISTS\b", "NOT EXISTS"),
    (r"(?<!IS )(?<!IF )\bNOT (?!EXISTS)", ""),
    (r" NOT VALID\b", ""),
    (r" AND ", " OR "),
    (r" OR (?!REPLACE)", " AND "),
    *(
        (rf"(?<= ){a}(?= )", b)
        for a, b in (("=", "<>"), ("<>", "="), ("<", "<="), ("<=", "<"), (">", ">="), (">=", ">"))
    ),
    *(
        (rf"(?<=OPERATOR\(pg_catalog\.){a}(?=\))", b)
        for a, b in (("=", "<>"), ("<", "<="), (">", ">="), (">=", ">"))
    ),
    (r" DESC\b", ""),
    (r"\btrue\b", "false"),
    (r"\bfalse\b", "true"),
    (r"\b(least|min)(?=\()", "greatest"),
    (r"\b(greatest|max)(?=\()", "least"),
    (r"\bUNIQUE ", ""),
    (r"\b(CONCURRENTLY|DISTINCT|LATERAL|ONLY) ", ""),
    (r"\b(LEFT|FULL) JOIN\b", "JOIN"),
    (r" COLLATE (pg_catalog\.)?\"C\"", ""),
    (r" FOR (NO KEY UPDATE|UPDATE|SHARE)( OF \w+)?", ""),
    (r"\bACCESS EXCLUSIVE\b", "SHARE UPDATE EXCLUSIVE"),
    (r"\bSHARE UPDATE EXCLUSIVE\b", "ACCESS EXCLUSIVE"),
    (r"\blag(?=\()", "lead"),
    (r"(?<=LIMIT )1\b", "2"),
]
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATIONS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
    ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
Change = Callable[[], Callable[[], None]]
"""Changes the tree, and returns what undoes it."""


@dataclass(frozen=True)
class Mutant:
    """One changed module: where, what became of which text, the lines of the original, and the whole source.

    ``imported``: the lines run when the module is imported. ``key`` stays the same while the changed lines do.
    """

    file: str
    inside: str
    was: str
    becomes: str
    lines: range
    imported: bool
    source: str
    key: str

    def __str__(self) -> str:
        return f"{self.file}: {self.inside or 'module'}\n    - {self.was}\n    + {self.becomes}"


def mutants(file: str, text: str) -> Iterator[Mutant]:
    """Yield every mutant of a module, each text once."""
    top, seen = ast.parse(text).body, set[str]()
    parts = [ast.unparse(statement) for statement in top]
    for at, before in enumerate(parts):
        alone = ast.Module([top[at]], [])
        for inside, statement, imported, change in _places(alone, ""):
            undo = change()
            after = ast.unparse(alone)
            undo()
            was, becomes = (" ".join(map(str.strip, lines)) for lines in _changed(before, after))
            key = hashlib.sha256("\n".join((file, inside, was, becomes)).encode()).hexdigest()[:16]
            if after != before and key not in seen:
                seen.add(key)
                lines = range(statement.lineno, _end(statement) + 1)
                source = "\n".join([*parts[:at], after, *parts[at + 1 :]])
                yield Mutant(file, inside, *_differing(was, becomes), lines, imported, source, key)


def _changed(before: str, after: str) -> tuple[list[str], list[str]]:
    """Return the lines of each text from the first to the last one that differs."""
    one, other = before.splitlines(), after.splitlines()
    start = _shared(one, other)
    end = _shared(one[:start:-1], other[:start:-1])
    return one[start : len(one) - end], other[start : len(other) - end]


def _differing(was: str, becomes: str) -> tuple[str, str]:
    """Return what differs between two texts, with a few words around it."""
    start = _shared(was, becomes)
    end = _shared(was[:start:-1], becomes[:start:-1])
    start = was.rfind(" ", 0, max(start - 30, 0)) + 1
    end = was.find(" ", len(was) - max(end - 30, 0))
    parts = was[start : end if end >= 0 else None], becomes[start : end - len(was) if end >= 0 else None]
    first, second = (part if len(part) < 200 else f"{part[:100]} … {part[-60:]}" for part in parts)
    return first, second


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many characters two texts, or lines two lists, have in common from their beginnings."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def _end(statement: ast.stmt) -> int:
    """Return the last line of a statement, of a compound one that of its head."""
    body = getattr(statement, "body", None)
    return max(statement.lineno, body[0].lineno - 1) if body else statement.end_lineno or statement.lineno


def _places(node: ast.AST, inside: str, imported: bool = True) -> Iterator[tuple[str, ast.stmt, bool, Change]]:
    """Yield the changes of the statements below a node, each with the function or class it is in."""
    for block in (getattr(node, name, []) for name in ("body", "orelse", "finalbody", "handlers", "cases")):
        for at, child in enumerate(block if isinstance(block, list) else []):
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                name, function = (
                    f"{inside}.{child.name}" if inside else child.name,
                    isinstance(child, ast.FunctionDef),
                )
                if isinstance(child, ast.FunctionDef):
                    defaults = [*child.args.defaults, *filter(None, child.args.kw_defaults)]
                    yield from (
                        (name, child, imported, change) for default in defaults for change in _inner(default)
                    )
                yield from _places(child, name, imported and not function)
            elif isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                pass  # a docstring
            elif isinstance(child, ast.Assign) and isinstance(node, ast.ClassDef) and _is_enumeration(node):
                pass  # a member is known by its name; recorded texts keep the words of its value
            elif isinstance(child, ast.stmt):
                changes = (*_statement(block, at), *_inner(child))
                yield from ((inside, child, imported, change) for change in changes)
                yield from _places(child, inside, imported)
            else:  # a handler of an exception, or a case
                if isinstance(child, ast.ExceptHandler) and not isinstance(child.body[0], ast.Raise):
                    yield inside, child.body[0], imported, _setting(child, "body", [ast.Raise()])
                yield from _places(child, inside, imported)


def _is_enumeration(node: ast.ClassDef) -> bool:
    return any(isinstance(base, ast.Name) and base.id.endswith("Enum") for base in node.bases)


def _setting(node: ast.AST, name: str, value: object) -> Change:
    def change() -> Callable[[], None]:
        old = getattr(node, name)
        setattr(node, name, value)
        return lambda: setattr(node, name, old)

    return change


def _replacing(items: list[Any], at: int, new: Sequence[ast.AST]) -> Change:
    def change() -> Callable[[], None]:
        old = items[:]
        items[at : at + 1] = new
        return lambda: items.__setitem__(slice(None), old)

    return change


def _statement(block: list[Any], at: int) -> Iterator[Change]:
    """Yield the changes of a statement as a whole: left out, without its condition, or without its value."""
    match block[at]:
        case (
            ast.Expr(value=ast.Call() | ast.Yield() | ast.YieldFrom())
            | ast.AugAssign()
            | ast.Raise()
            | ast.Delete()
        ):
            yield _replacing(block, at, [ast.Pass()])
        case ast.Continue() | ast.Break():
            yield _replacing(block, at, [ast.Pass()])
        case ast.Return(value=ast.expr() as value) if not (
            isinstance(value, ast.Constant) and value.value in (None, False)
        ):
            yield _replacing(block, at, [ast.Return(ast.Constant(None))])
        case ast.With(items=items, body=body) if not any(item.optional_vars for item in items):
            yield _replacing(block, at, body)


def _inner(node: ast.AST) -> Iterator[Change]:
    """Yield the changes of the expressions of a statement, without those of statements in it."""
    match node:
        case ast.Assign(targets=[ast.Name(id="__all__")]) | ast.keyword(arg="strict"):
            return
        case ast.Assign(value=ast.Call(func=ast.Name(id="ParamSpec" | "TypeVar"))):
            return
        case ast.Assign(value=ast.Subscript(value=ast.Name(id="Callable"))):
            return
        case ast.Assign(targets=[ast.Tuple()], value=ast.Tuple(elts=values)):
            yield from (change for value in values for change in _inner(value))
            return
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "args") and isinstance(node, ast.stmt):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
                yield from _inner(child)
    yield from _logic(node)
    yield from _parts(node)


def _logic(node: ast.AST) -> Iterator[Change]:
    """Yield the changes of what an expression decides."""
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            if not isinstance(test, ast.Compare | ast.UnaryOp | ast.Constant):
                yield _setting(node, "test", ast.UnaryOp(ast.Not(), test))
        case ast.Compare(ops=ops):
            for at, operator in enumerate(ops):
                yield _replacing(ops, at, [COMPARISONS[type(operator)]()])
        case ast.BoolOp(op=operator):
            yield _setting(node, "op", ast.Or() if isinstance(operator, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield _setting(node, "operand", ast.UnaryOp(ast.Not(), operand))


def _parts(node: ast.AST) -> Iterator[Change]:
    """Yield the changes of what an expression is made of."""
    match node:
        case ast.comprehension(ifs=ifs):
            yield from (_replacing(ifs, at, []) for at in range(len(ifs)))
        case ast.BinOp(op=operator) if type(operator) in OPERATIONS:
            yield _setting(node, "op", OPERATIONS[type(operator)]())
        case ast.Tuple(elts=items, ctx=ast.Load()) | ast.List(elts=items, ctx=ast.Load()) | ast.Set(elts=items):
            yield from (_replacing(items, at, []) for at in range(len(items) if len(items) > 1 else 0))
        case ast.Constant(value=value):
            yield from (_setting(node, "value", new) for new in _values(value))


def _values(value: object) -> Iterator[object]:
    """Yield what a constant may become."""
    match value:
        case bool():
            yield not value
        case int():
            yield value + 1
        case str() if SQL.search(value):
            for pattern, new in SQL_CHANGES:
                yield from (value[: m.start()] + new + value[m.end() :] for m in re.finditer(pattern, value))
        case str() if re.fullmatch(r"[\w.-]+", value):
            yield value + "X"
