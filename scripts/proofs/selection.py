"""Which tests are tried on a mutant, and in which order: from what the last run of scripts/coverage noted."""

import json
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from itertools import zip_longest
from pathlib import Path
from types import MappingProxyType
from zlib import crc32

from coverage import CoverageData

from scripts.proofs.covered import DATA, SECONDS_FILE
from scripts.proofs.mentions import mentioning
from scripts.proofs.mutants import Mutant
from scripts.proofs.record import ROOT

RECORDED = re.compile(
    r"tests/(test_golden|test_docs|test_frozen|test_words|test_startup|test_architecture|deploy/|citus/)"
)
"""Tests that compare with a record: they notice that a text is another one, not whether it was right."""
SLOWEST = 20.0
"""The most seconds of a test that is tried, as they were in the measured run."""
QUICK = 0.1
"""The most seconds of a test that needs no server."""
STRONG = {
    "contract/": ["predicates.py"],
    "operations/view_": ["view_", "convergence.py"],
    "operations/check": ["audit_columns.py", "unproven_not_null.py", "partitions", "function_rights.py"],
    "operations/execute.py": ["builds_of_others", "json_log.py", "running_work.py", "our_tables.py", "partitions"],
    "operations/facts.py": ["operations.py"],
    "operations/index": ["builds_of_others", "foreign_indexes.py", "partitions"],
    "operations/raw_table.py": ["operations.py", "table_created.py", "private_tables.py", "our_tables.py"],
    "operations/refused_rows.py": ["row_refused.py"],
    "operations/render.py": ["printed", "lifecycle.py::test_down_undoes_up[psql", "table_created.py"],
    "operations/step": ["full_reads.py", "scans.py", "operations.py", "rollback.py", "round_trips.py", "plan"],
    "operations/": [
        "steps.py::test_no_step_is_needed_at_its_goal[concelier]",
        "steps.py::test_each_step_is_needed_before_it_runs[concelier]",
        "lifecycle.py::test_down_undoes_up[command-concelier-legacy]",
        "partitions_down.py",
    ],
}
"""The tests that are about a module of the package: the beginnings of their names after ``tests/test_``."""
IMPORTS = 4
"""How much a file of tests is about a module that it imports."""
NEW = 2.0
"""How many seconds a test counts for that is newer than the measured run."""
BUDGET = 120.0
"""The most seconds of tests that are tried on one mutant, as measured with others; alone, a third of that."""


class Selection:
    """Chooses tests by the lines that they ran, and learns which of them notice something."""

    def __init__(self, left_out: Iterable[str] = (), budget: float = BUDGET, only: Sequence[str] = ()) -> None:
        """``only``: the tests whose names begin so are tried, and no others; that needs no measured run."""
        self.budget, self.only = budget, tuple(only)
        known = json.loads(SECONDS_FILE.read_text(encoding="utf-8")) if SECONDS_FILE.exists() else {}
        there = collected()
        self.seconds: dict[str, float] = {
            test: spent
            for test, spent in known.items()
            if spent <= SLOWEST and not RECORDED.match(test) and test in there
        }
        if unknown := [beginning for beginning in only if not any(test.startswith(beginning) for test in there)]:
            sys.exit(f"no test has a name that begins with {' or '.join(unknown)}")
        if only:
            self.seconds = {test: known.get(test, NEW) for test in there if test.startswith(self.only)}
        self.killers: dict[str, Counter[str]] = defaultdict(Counter)
        for test in left_out:
            self.leave_out(test)

    def leave_out(self, test: str) -> None:
        """Never choose a test again: it fails without any mutant."""
        self.seconds.pop(test, None)

    def killed(self, mutant: Mutant, test: str) -> None:
        """Learn that a test noticed a mutant: it is tried first on others near by."""
        for place in (mutant.file, f"{mutant.file} {mutant.inside}"):
            self.killers[place][test] += 1

    def limits(self, tests: Iterable[str]) -> dict[str, float]:
        """Return how many seconds each test may take with a mutant, on a machine that may be busier by now."""
        return {test: 15 + 5 * self.seconds[test] for test in tests}

    def tests(self, mutant: Mutant, passed: Mapping[str, int] = MappingProxyType({})) -> list[str]:
        """Return the tests for a mutant, in their order, without those that ``passed`` before and are the same.

        First come those that noticed others there; then those that need no server, and those of STRONG; then, each
        for a quarter of the time, those that mention the rarest words of the statement, and those that are about
        the module by their names or imports; then all others. The quickest of each file come first.
        """
        among = set(self.seconds) if self.only else self._running(mutant) & self.seconds.keys()
        new = {test for test in among if passed.get(test) != version(test)}
        chosen = sorted(new, key=lambda test: (self.seconds[test], test))
        near = self.killers[f"{mutant.file} {mutant.inside}"] + self.killers[mutant.file]
        first = [test for test, _ in near.most_common(5) if test in chosen]
        if self.only:
            return list(dict.fromkeys([*first, *chosen]))
        quick = [test for test in chosen if self.seconds[test] <= QUICK]
        parts = {word for word in Path(mutant.file).stem.split("_") if len(word) > 3}
        named = {test: 2 * sum(part in test for part in parts) for test in chosen}
        about = {test: self._about(file_of(test), mutant.file) + named[test] for test in chosen}
        nearest, near_by = ([t for t in chosen if about[t] > 1], [t for t in chosen if about[t] == 1])
        strong = [test for of in strong_for(mutant.file) for test in chosen if test.startswith(of)]
        code = (ROOT / mutant.file).read_text(encoding="utf-8").splitlines()
        words = " ".join([mutant.inside, *(code[line - 1] for line in mutant.lines)])
        speaking = self._within(self.budget / 4, mentioning(words, chosen))
        close = self._within(self.budget / 4, [*_in_turn(nearest), *_in_turn(near_by)])
        return list(self._within(self.budget, [*first, *quick, *strong, *speaking, *close, *_in_turn(chosen)]))

    def _within(self, seconds: float, tests: Iterable[str]) -> Iterator[str]:
        """Yield each test once, until they take longer in all; at least one."""
        spent, seen = 0.0, set[str]()
        for test in tests:
            spent += 0.0 if test in seen else self.seconds[test]
            if seen and spent > seconds:
                return
            if test not in seen:
                yield test
            seen.add(test)

    @cache  # noqa: B019  (there is one selection in a run)
    def _about(self, tests: str, file: str) -> int:
        """Return how much a file of tests is about a module: it imports it, or one of its folder."""
        text, module = (ROOT / tests).read_text(encoding="utf-8"), dotted(file)
        neighbours = module.rpartition(".")[0]
        return IMPORTS * (f"{module} " in text) + (f"{neighbours}." in text)

    def _running(self, mutant: Mutant) -> set[str]:
        """Return the tests that ran the changed lines; where these run on import, those that ran anything near."""
        by_line = self._by_line(mutant.file)
        if not mutant.imported and (found := {test for line in mutant.lines for test in by_line.get(line, ())}):
            return found
        if found := {test for tests in by_line.values() for test in tests}:
            return found | self._naming(mutant.file)
        return self._naming(mutant.file)

    def _by_line(self, file: str) -> dict[int, list[str]]:
        if file not in self._known:
            lines = self._data.contexts_by_lineno(str(ROOT / file))
            self._known[file] = {line: [c.rpartition("|")[2] for c in tests if c] for line, tests in lines.items()}
        return self._known[file]

    def _naming(self, file: str) -> set[str]:
        """Return the tests of STRONG for a module, and those of the files that import it."""
        strong = {test for test in self.seconds if test.startswith(strong_for(file))}
        return strong | {test for test in self.seconds if self._about(file_of(test), file) >= IMPORTS}

    @cached_property
    def _known(self) -> dict[str, dict[int, list[str]]]:
        return {}

    @cached_property
    def _data(self) -> CoverageData:
        data = CoverageData(str(DATA))
        data.read()
        return data


def collected() -> set[str]:
    """Return the tests that there are by now: since the measured run, some may have gone, or have other names."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "--quiet"]
    everything = os.environ | {"AOC_TEST_EVERYTHING": "1"}
    ran = subprocess.run(command, cwd=ROOT, env=everything, check=True, capture_output=True, text=True)
    return set(ran.stdout.splitlines())


def strong_for(file: str) -> tuple[str, ...]:
    """Return how the names of the tests begin that are about a module, those that are most about it first."""
    found = (tests for module, tests in STRONG.items() if file.startswith(f"aoc_migrate/{module}"))
    return tuple(f"tests/test_{test}" for tests in found for test in tests)


def file_of(test: str) -> str:
    """Return the file of a test."""
    return test.partition("::")[0]


@cache
def version(test: str) -> int:
    """Return a number that is another one as soon as the file of a test is."""
    return crc32((ROOT / file_of(test)).read_bytes())


def dotted(file: str) -> str:
    """Return the name of a module."""
    return file.removesuffix(".py").replace("/", ".")


def _in_turn(tests: list[str]) -> Iterator[str]:
    """Yield the first test of each file, then the second one of each, and so on."""
    of_file: dict[str, list[str]] = defaultdict(list)
    for test in tests:
        of_file[file_of(test)].append(test)
    for turn in zip_longest(*of_file.values()):
        yield from filter(None, turn)


def elsewhere(whole: tuple[str, ...]) -> list[Path]:
    """Return the modules of the package outside of the folders that are mutated whole."""
    found = sorted((ROOT / "aoc_migrate").rglob("*.py"))
    return [file for file in found if not str(file.relative_to(ROOT)).startswith(whole)]
