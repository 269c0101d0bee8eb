"""What is fuzzed: each subject draws examples and checks one of them at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.fuzzing import command_lines, configuration, names, predicates, there_and_back
from tests.fuzzing.place import Place


@dataclass(frozen=True)
class Subject:
    """What examples of a kind show, how they are drawn, and what checks one."""

    about: str
    examples: st.SearchStrategy[Any]
    check: Callable[[Place, Any], None]


def _subject(module: Any) -> Subject:
    return Subject(str(module.check.__doc__), module.EXAMPLES, module.check)


SUBJECTS = {
    "command-lines": _subject(command_lines),
    "configuration": _subject(configuration),
    "names": _subject(names),
    "predicates": _subject(predicates),
    "rows": _subject(there_and_back),
}
