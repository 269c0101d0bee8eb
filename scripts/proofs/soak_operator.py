"""The operator of one target: up, down and up again, and the same command again after whatever interrupted it."""

import json
import random
import shlex
import signal
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import psycopg

from aoc_migrate.revisions.graph import history
from aoc_migrate.sandbox.databases import RAW_TABLES
from scripts.proofs.soak_clients import GUARD
from scripts.proofs.soak_ground import Ground
from tests.conftest import Aoc, Ran

ALLOWED = "AOC_ALLOW_SUPERSEDES_RETROFIT=true "
_SIGNALS = {"SIGKILL": (-9,), "SIGTERM": (143, -15), "SIGINT": (130, -2)}
KINDS = (*_SIGNALS, "backend", "client's session", "server")
"""What is killed: aoc-migrate by a signal, its session, a session of another client, the server."""
_UNDISTURBED = 9
"""How many commands of a shuffled deck of kills are left alone."""
_MOST = 40
"""Commands until home, after which nobody would believe in `next` any more."""
_UNGUARDED = 4
"""Commands on the way home while the services store whatever comes."""
_HUNG = 600.0
_LATE = ["chain-broken"], ["row-refused"]
"""The errors that a row causes if it comes in during a command: it lacks its link, or breaks a rule."""


@dataclass
class Outcome:
    """How a command ended; ``report`` is None if it was killed before it could write one."""

    exit_code: int
    report: dict[str, Any] | None


class Operator(threading.Thread):
    """Works on one target until the soak is over, then leads it home once more, undisturbed."""

    def __init__(self, ground: Ground, target: str, seed: str, *, endless: bool = True) -> None:
        super().__init__(name=target, daemon=True)
        self.ground, self.target, self.endless = ground, target, endless
        self.chance = random.Random(f"{seed} {target}")
        self.deck: list[str] = []
        self.kills, self.commands, self.ends = Counter[str](), Counter[str](), Counter[str]()
        self.wrong: list[str] = []
        self.took: dict[str, float] = {}
        self.begun = time.monotonic()
        self.head = history(target)[-1].id
        if not endless:
            self.deck = self._shuffled(len(KINDS))

    def run(self) -> None:
        """Go up and down until the soak is over, or, if it is not endless, until each kind of kill was dealt."""
        try:
            while True:
                self.home(f"{ALLOWED}aoc-migrate upgrade {self.target}")
                self.look()
                self.down()
                if self.ground.over.is_set() or (not self.endless and not self.deck):
                    return
        except Exception as error:  # noqa: BLE001 - the verdict has it
            self.wrong.append(f"{self.target}: the operator stopped: {type(error).__name__}: {error}")

    def finish(self) -> None:
        """Lead the target to a verified head, late revisions linked, now that nobody writes or kills."""
        self.deck, self.endless = [], False
        self.home(f"{ALLOWED}aoc-migrate upgrade {self.target}")
        for command in (
            f"{ALLOWED}aoc-migrate chain TARGET --apply",
            "aoc-migrate audit TARGET",
            "aoc-migrate verify TARGET --require-head --probe",
        ):
            ran = self.type(command.replace("TARGET", self.target))
            slugs = [f["slug"] for f in (ran.report or {"findings": []})["findings"]]
            if ran.exit_code or "chain-late" in slugs:
                self.wrong.append(f"{self.target}: at the end, {command} exits {ran.exit_code}: {slugs}")

    def home(self, command: str) -> None:
        """Type a command, then what its report says is next, until the target is verified at head.

        The services store bad rows and duplicates during the first commands, then their own guard is turned on:
        nobody gets a table clean into which others go on to write what the audit refuses.
        """
        guard = self.ground.folder / f"{RAW_TABLES[self.target]}{GUARD}"
        for number in range(_MOST):
            if number == _UNGUARDED:
                guard.touch()
            ran = self.type(command)
            if ran.report is None:
                continue  # it was killed: the same command again
            found, following = ran.report["findings"], ran.report["next"]
            verified = " verify" in command and ran.exit_code == 0 and ran.report["revision"] == self.head
            if verified and "held" not in {finding["slug"] for finding in found}:
                guard.unlink(missing_ok=True)
                return
            command = next((c for c in (following["command"], *following["choices"]) if c), "")
            if not command:
                slugs = {finding["slug"] for finding in found if finding["severity"] == "error"}
                if slugs and ran.exit_code != 3:
                    self.wrong.append(f"{self.target}: {slugs}, and nothing is next")
                command = f"aoc-migrate verify {self.target}"
        raise AssertionError(f"{_MOST} commands did not lead home; the last was: {command}")

    def look(self) -> None:
        """Type some of what an operator types at head."""
        several = (
            "verify",
            "status",
            "history",
            "audit",
            "plan",
            "quarantine",
            "chain",
            "dedupe --apply",
            "repair --rule all --apply",
            "chain --apply",
            "upgrade",
        )
        for words in self.chance.sample(several, 2):
            verb, *more = words.split()
            variable = ALLOWED if verb in ("chain", "upgrade") else ""
            self.again(f"{variable}{shlex.join(['aoc-migrate', verb, self.target, *more])}", {0, 1})

    def down(self) -> None:
        """Undo some of it; now and then put back what was moved."""
        revisions = [revision.id for revision in history(self.target)][:-1]
        goal = self.chance.choice(["base", "base", "-1", *revisions])
        way = self.chance.choice([f"downgrade {self.target} {goal}"] * 5 + [f"constraints {self.target} --remove"])
        self.again(f"aoc-migrate {way}", {0})
        if goal == "base" and "constraints" not in way and self.chance.random() < 0.5:
            self.again(f"aoc-migrate dedupe {self.target} --restore --apply", {0, 1})

    def again(self, command: str, ends: set[int]) -> None:
        """Type a command until it comes to its end, as one does after an interruption."""
        for _ in range(_MOST):
            if self.type(command).exit_code in ends:
                return
        raise AssertionError(f"{_MOST} times {command} never ended with exit code {ends}")

    def type(self, command: str) -> Outcome:
        """Run a command, and kill something meanwhile if the deck says so."""
        variable, _, typed = command.rpartition("aoc-migrate ")
        verb, kind = typed.split()[0], self._deal()
        environment = {f"{self.target.upper()}_DATABASE_URL": self.ground.primary.url(self.target)}
        environment |= dict(word.split("=") for word in variable.split())
        words = [*shlex.split(typed), "--format", "json"]
        begun, killed = time.monotonic(), False
        if kind or self.endless:
            ran, killed = self._kill_in(Aoc(environment).spawn(*words), kind, self.took.get(verb, 2.0))
        else:
            ran = Aoc(environment)(*words)  # much sooner, if nothing is killed
        ended = time.monotonic()
        if not killed:
            self.took[verb] = ended - begun
            self.deck += [kind] if kind else []
        disturbed = killed or self.ground.disturbed(begun, ended)
        report = self._judge(command, ran, kind if killed else "")
        self.commands[verb] += 1
        self.ends[f"{ran.exit_code}"] += 1
        errors = [f for f in (report or {"findings": []})["findings"] if f["severity"] == "error"]
        slugs = sorted({f["slug"] for f in errors})
        if ran.exit_code in (3, 4) and not disturbed and slugs not in _LATE:
            self.wrong.append(f"{command}: exit {ran.exit_code} undisturbed: {slugs} {ran.err[-300:]}")
        print(
            f"{begun - self.begun:7.1f} s {ended - begun:5.1f} s  {command} -> {ran.exit_code} "
            f"{' '.join(slugs)}{f' ({kind} killed)' if killed else ''}",
            flush=True,
        )
        return Outcome(ran.exit_code, report)

    def _deal(self) -> str:
        if not self.deck and self.endless and not self.ground.over.is_set():
            self.deck = self._shuffled(_UNDISTURBED)
        return self.deck.pop() if self.deck else ""

    def _shuffled(self, undisturbed: int) -> list[str]:
        cards = [*KINDS, *[""] * undisturbed]
        return self.chance.sample(cards, len(cards))

    def _kill_in(self, process: "subprocess.Popen[str]", kind: str, typical: float) -> tuple[Ran, bool]:
        """Kill something, perhaps, during a command; return its end, and whether there was anything to kill."""
        pieces: list[str] = []
        reader = threading.Thread(target=lambda: pieces.extend(process.communicate()))
        reader.start()
        killed = bool(kind) and self._kill(kind, process, typical)
        reader.join(_HUNG)
        if reader.is_alive():
            process.kill()
            reader.join()
            self.wrong.append(f"{process.args!r}: hung for {_HUNG:.0f} s")
        out, err = pieces
        return Ran(process.returncode, out, err), killed

    def _kill(self, kind: str, process: "subprocess.Popen[str]", typical: float) -> bool:
        """Kill after a part of the time that such a command takes; return whether there was anything to kill."""
        try:
            process.wait(self.chance.random() * typical)
            return False  # it was faster
        except subprocess.TimeoutExpired:
            pass
        try:
            if kind in _SIGNALS:
                process.send_signal(signal.Signals[kind])
            elif kind == "server":
                self.ground.crash()
            else:
                names = "soak %" if kind == "client's session" else "aoc-migrate %"
                if not self.ground.terminate(self.target, names, self.chance):
                    return False
        except psycopg.Error:  # the server is away already
            return False
        self.kills[kind] += 1
        return True

    def _judge(self, command: str, ran: Ran, killed: str) -> dict[str, Any] | None:
        """Check exit code and report against what is documented; return the report."""
        code, out, err = ran.exit_code, ran.out, ran.err
        before_our_first_line = (killed, code) == ("SIGINT", -2)  # Python itself shows where it was
        broken = ("Traceback" in err or "unexpected" in err) and not before_our_first_line
        if code not in {0, 1, 3, 4, *_SIGNALS.get(killed, ())} or broken:
            self.wrong.append(f"{command}: exit {code} {f'({killed} killed)' if killed else ''}: {err[-500:]}")
        if not out:
            return None
        try:
            (report,) = json.loads(out)["reports"]
        except ValueError as error:
            if killed not in _SIGNALS:
                self.wrong.append(f"{command}: no report ({error}): {out[-300:]} {err[-300:]}")
            return None
        if code >= 0 and report["exit_code"] != code:
            self.wrong.append(f"{command}: exit {code}, but the report says {report['exit_code']}")
        return dict(report)
