"""Tries tests on mutants, two at a time, and keeps what became of each: build/mutation/results.jsonl."""

import fcntl
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any
from zlib import crc32

import psycopg
from psycopg import sql

from scripts.proofs.excuses import SURVIVORS, UNCOVERED, Excuse, excused, read
from scripts.proofs.killer import KILLED, SURVIVED
from scripts.proofs.mutants import Mutant, mutants
from scripts.proofs.record import ROOT
from scripts.proofs.selection import Selection, elsewhere, version
from tests.passwords import hurry_passwords
from tests.servers import running_server

FOLDER = ROOT / "build" / "mutation"
RESULTS = FOLDER / "results.jsonl"
LEFT_OUT = FOLDER / "left-out.txt"
WHOLE = {
    "contract": ("aoc_migrate/contract/",),
    "steps": tuple(
        f"aoc_migrate/operations/{name}.py"
        for name in (
            "build",
            "check_steps",
            "checks",
            "collect",
            "execute",
            "facts",
            "index_steps",
            "indexes",
            "raw_table",
            "refused_rows",
            "registry",
            "render",
            "step",
            "step_reads",
            "view_conflicts",
            "view_rights",
            "view_swap",
        )
    ),
}
"""Which files are tried whole, by the beginnings of their names: the rules, and what a Step is, needs and does."""
UNTESTED = "untested"
"""The outcome of a mutant of lines that no test runs."""


def places(only: str | None, count: int, seed: int) -> dict[str, list[Mutant]]:
    """Return the mutants by file: below ``only``; or those of WHOLE, and ``count`` from "elsewhere".

    A change of the code changes few of those: each has its place in an order that ``seed`` gives.
    """
    folder = ROOT / (only or "aoc_migrate")
    files = [folder] if folder.is_file() else sorted(folder.rglob("*.py"))
    apart = [] if only else elsewhere(tuple(chain(*WHOLE.values())))
    found = {name_of(file): list(of(file)) for file in files if file not in apart}
    others = [mutant for file in apart for mutant in of(file)]
    found["elsewhere"] = sorted(others, key=lambda mutant: crc32(f"{seed} {mutant.key}".encode()))[:count]
    return {place: mutants for place, mutants in found.items() if mutants}


def name_of(file: Path) -> str:
    """Return the name of a file of this checkout from its root."""
    return str(file.relative_to(ROOT))


def of(file: Path) -> Iterator[Mutant]:
    """Yield the mutants of one file of this checkout, but for lines that uncovered.toml says no test here runs."""
    name = name_of(file)
    unrun = {line for entry in read(UNCOVERED) if entry.file == name for line in excused(entry)}
    found = mutants(name, file.read_text(encoding="utf-8"))
    yield from (mutant for mutant in found if mutant.lines[0] not in unrun)


def results() -> dict[str, dict[str, Any]]:
    """Return the last result of each mutant by its key."""
    lines = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.exists() else []
    return {result["key"]: result for result in map(json.loads, lines)}


def forget() -> None:
    """Forget the results of earlier runs."""
    RESULTS.unlink(missing_ok=True)
    LEFT_OUT.unlink(missing_ok=True)


def excuse_of(mutant: Mutant, entries: Iterable[Excuse]) -> Excuse | None:
    """Return the entry of survivors.toml for a mutant."""
    place = (mutant.file, mutant.inside, mutant.was, mutant.becomes)
    return next((e for e in entries if (e.file, e.inside, e.code, e.becomes) == place), None)


class Trial:
    """One copy of the checkout with a server of its own and a process that runs tests in it."""

    def __init__(self, number: int, url: str) -> None:
        self.url, self.tree = url, FOLDER / f"tree{number}"
        copy_checkout(self.tree)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AOC_", "COVERAGE", "PYTEST"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "scripts.proofs.killer", str(FOLDER / f"answer{number}.json")],
            cwd=self.tree,
            env=kept | {"PYTHONPATH": str(self.tree), "AOC_TEST_SERVER_URL": url},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, file: str, source: str, tests: dict[str, float]) -> dict[str, Any]:
        """Run tests on a source in place of that of ``file``; return the outcome."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"file": file, "source": source, "tests": tests}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:  # the run was interrupted
            sys.exit()
        answer: dict[str, Any] = json.loads(line)
        clean(self.url)
        return answer

    def passes(self, file: str, tests: dict[str, float]) -> bool:
        """Return whether tests pass on the unchanged source."""
        return bool(self.run(file, (ROOT / file).read_text(encoding="utf-8"), tests)["outcome"] == SURVIVED)


def copy_checkout(tree: Path) -> None:
    """Copy what git knows or would know."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    shutil.rmtree(tree, ignore_errors=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)


def clean(url: str) -> None:
    """Remove what a test left behind that was killed: databases, roles and settings."""
    with psycopg.connect(url, autocommit=True) as connection:
        names = connection.execute("SELECT datname, datistemplate FROM pg_database WHERE oid >= 16384").fetchall()
        for name, template in names:
            if template:
                connection.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE false").format(sql.Identifier(name)))
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        roles = connection.execute("SELECT rolname FROM pg_roles WHERE oid >= 16384").fetchall()
        for (name,) in roles:
            connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))
        connection.execute("ALTER SYSTEM RESET ALL")
        connection.execute("SELECT pg_reload_conf()")


class Run:
    """Tries mutants until none is left; tests that fail without any mutant are left out."""

    def __init__(self, wanted: list[Mutant], report: Any, budget: float, only: Sequence[str]) -> None:
        left_out = LEFT_OUT.read_text(encoding="utf-8").split("\n") if LEFT_OUT.exists() else []
        self.selection, self.report = Selection(left_out, budget, only), report
        self.waiting: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
        self.trusted, self.lock, self.known = set[str](), threading.Lock(), results()
        for mutant in wanted:
            self.waiting.put(mutant)

    def work(self, trial: Trial) -> None:
        """Try one mutant after another."""
        while True:
            try:
                mutant = self.waiting.get_nowait()
            except queue.Empty:
                return
            result = self.judge(trial, mutant)
            with self.lock, RESULTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": mutant.key} | result) + "\n")
                self.report(mutant, result)

    def judge(self, trial: Trial, mutant: Mutant) -> dict[str, Any]:
        """Return what becomes of a mutant. A test that notices it must pass without it.

        One that has survived is tried with other tests each time, until none is left that runs its lines.
        """
        passed = self.known.get(mutant.key, {}).get("passed", {})
        with self.lock:
            chosen = self.selection.tests(mutant, passed)
        tests = self.selection.limits(chosen)
        outcome = SURVIVED if passed else UNTESTED
        answer: dict[str, Any] = {"outcome": outcome, "by": "", "ran": 0, "seconds": 0.0}
        while tests:
            seconds = answer["seconds"]
            answer = trial.run(mutant.file, mutant.source, tests)
            answer["seconds"] = round(seconds + answer["seconds"], 1)
            if answer["outcome"] != KILLED:
                break
            by = answer["by"] if answer["by"] in tests else next(iter(tests))
            if by in self.trusted or trial.passes(mutant.file, {by: tests[by]}):
                with self.lock:
                    self.trusted.add(by)
                    self.selection.killed(mutant, by)
                break
            answer["outcome"] = SURVIVED
            tests = dict(list(tests.items())[list(tests).index(by) + 1 :])  # those before it have passed
            with self.lock, LEFT_OUT.open("a", encoding="utf-8") as file:
                self.selection.leave_out(by)
                file.write(f"{by}\n")
        if answer["outcome"] == SURVIVED:
            answer["passed"] = passed | {test: version(test) for test in chosen}
        return answer


@contextmanager
def alone() -> Iterator[None]:
    """Hold the folder for the block: two runs would change each other's copies of the checkout."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("another scripts/mutation is running in this checkout")
        yield


@contextmanager
def servers(number: int) -> Iterator[list[str]]:
    """Run servers for the tests; return the URLs of their superusers."""
    with ExitStack() as stack:
        urls = [stack.enter_context(running_server()).url("postgres") for _ in range(number)]
        for url in urls:
            hurry_passwords(url)
        yield urls


def run(wanted: list[Mutant], report: Any, processes: int, budget: float, only: Sequence[str] = ()) -> None:
    """Try all mutants, some at a time, each with tests of ``budget`` seconds, or of ``only``; report each."""
    todo = Run(wanted, report, budget, only)
    with servers(min(processes, len(wanted))) as urls:
        trials = [Trial(number, url) for number, url in enumerate(urls)]
        threads = [threading.Thread(target=todo.work, args=[trial], daemon=True) for trial in trials]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def known_excuses() -> list[Excuse]:
    """Return the entries of survivors.toml."""
    return read(SURVIVORS)
