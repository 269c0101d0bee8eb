"""Which tests are tried on a mutant, and in which order: from what the last run of scripts/coverage noted."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from coverage import CoverageData

from scripts.proofs.covered import DATA, SECONDS_FILE
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
BUDGET = 60.0
"""The most seconds of all tests that are tried on one mutant."""


class Selection:
    """Chooses tests by the lines that they ran, and learns which of them notice something."""

    def __init__(self, left_out: Iterable[str] = ()) -> None:
        known = json.loads(SECONDS_FILE.read_text(encoding="utf-8"))
        self.seconds: dict[str, float] = {
            test: spent for test, spent in known.items() if spent <= SLOWEST and not RECORDED.match(test)
        }
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

    def tests(self, mutant: Mutant) -> list[str]:
        """Return the tests for a mutant, in their order.

        First come those that noticed others there, then those that need no server, then the quickest of each file.
        """
        chosen = self._running(mutant) & self.seconds.keys()
        near = self.killers[f"{mutant.file} {mutant.inside}"] + self.killers[mutant.file]
        first = [test for test, _ in near.most_common(5) if test in chosen]
        spent, kept = 0.0, list[str]()
        for test in (*first, *(test for test in self._in_turn(chosen) if test not in first)):
            spent += self.seconds[test]
            if kept and spent > BUDGET:
                break
            kept.append(test)
        return kept

    def _in_turn(self, chosen: set[str]) -> Iterator[str]:
        of_file: dict[str, list[str]] = defaultdict(list)
        for test in sorted(chosen, key=lambda test: (self.seconds[test], test)):
            if self.seconds[test] <= QUICK:
                yield test
            else:
                of_file[test.partition("::")[0]].append(test)
        for turn in range(max(map(len, of_file.values()), default=0)):
            one_each = (tests[turn] for tests in of_file.values() if turn < len(tests))
            yield from sorted(one_each, key=lambda test: self.seconds[test])

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
        """Return the tests of the files that import a module."""
        module = file.removesuffix(".py").replace("/", ".")
        files = {
            str(p.relative_to(ROOT))
            for p in (ROOT / "tests").rglob("*.py")
            if f"{module} " in p.read_text("utf-8")
        }
        return {test for test in self.seconds if test.partition("::")[0] in files}

    @cached_property
    def _known(self) -> dict[str, dict[int, list[str]]]:
        return {}

    @cached_property
    def _data(self) -> CoverageData:
        data = CoverageData(str(DATA))
        data.read()
        return data


def elsewhere(whole: tuple[str, ...]) -> list[Path]:
    """Return the modules of the package outside of the folders that are mutated whole."""
    found = sorted((ROOT / "aoc_migrate").rglob("*.py"))
    return [file for file in found if not str(file.relative_to(ROOT)).startswith(whole)]
