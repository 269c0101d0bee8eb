"""A short soak, and that its verdict would notice what is wrong."""

import copy
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.proofs import soak_verdict
from scripts.proofs.soak import under_fire, verdict
from scripts.proofs.soak_ground import Ground, ground
from scripts.proofs.soak_notes import read
from scripts.proofs.soak_operator import KINDS
from tests.conftest import ROOT

Notes = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A primary with a standby and a hundred rows of each target."""
    folder: Path = tmp_path_factory.mktemp("soak")
    with ground(100, "tests", folder) as made:
        yield made


@pytest.fixture
def notes(field: Ground) -> Notes:
    """A copy of what the clients noted so far."""
    return copy.deepcopy(read(field.folder))


def failure(**values: Any) -> dict[str, Any]:
    """Return a client's note of a failed statement."""
    return {"kind": "failure", "what": "read", "pid": 1, "begun": 0.0, "ended": 0.1} | {
        "sqlstate": "40P01",
        "constraint": "",
        "message": "deadlock detected",
        **values,
    }


@pytest.mark.nightly
def test_nothing_is_lost_under_fire(field: Ground) -> None:
    """With one kill of each kind among writers, readers and dumps, nothing is lost, and `next` leads home."""
    operators = under_fire(field, "tests", 0, ["excititor"])

    figures, wrong = verdict(field, operators)

    assert wrong == []
    assert figures["kills"] == dict.fromkeys(KINDS, 1)
    assert figures["rows"]["acknowledged"] > 200


def test_a_lost_row_is_noticed(field: Ground, notes: Notes) -> None:
    """A row that was acknowledged, and is in neither table as it was stored, is reported."""
    kept = [line for line in notes["concelier-before"] if line["kind"] == "row"]
    kept[0]["digest"] = "another"
    kept[1]["id"] = "never stored"

    _, wrong = soak_verdict.rows(field, notes)

    assert sum("which was acknowledged, is in the table with other values" in each for each in wrong) == 1
    assert "advisory_raw: never stored, which was acknowledged, is gone" in wrong
    assert sum(each.startswith("advisory_raw: nobody stored ") for each in wrong) == 1


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (failure(), ""),
        (failure(what="document", sqlstate="23505", constraint="vex_raw_idempotency_v1"), ""),
        (failure(what="revision", sqlstate="23514", constraint="vex_raw_keys_v1"), ""),
        (failure(sqlstate="57P01"), ""),
        (failure(what="revert", sqlstate="23505", constraint="vex_raw_idempotency_v1"), "duplicate refused"),
        (failure(what="bad", sqlstate="23514", constraint="vex_raw_keys_v1"), "bad row refused by a CHECK"),
        (failure(what="bad", sqlstate="23502"), "bad row refused by NOT NULL"),
    ],
)
def test_a_failure_needs_a_documented_reason(line: dict[str, Any], why: str, field: Ground) -> None:
    """A failed statement is wrong unless a rule refused what breaks it, or a kill of ours explains it."""
    ended = {"kind": "end", "done": {}, "waits": []}

    classes, wrong = soak_verdict.failures(field, {"excititor-writer-1": [line, ended]})

    assert (len(wrong), len(classes)) == ((0, 1) if why else (1, 0))
    assert not why or next(iter(classes)).startswith(why)


@pytest.mark.alike
@pytest.mark.parametrize("words", [["soak", "--faults"], ["fuzz", "--minutes", "1"]], ids=" ".join)
def test_an_interrupted_proof_ends_quietly(words: list[str]) -> None:
    """Ctrl-C after the first line ends a proof with 130, without a traceback."""
    heeding = ("env", "--default-signal=INT")  # a process that a shell starts with & ignores SIGINT
    command = [*heeding, sys.executable, str(ROOT / "scripts" / words[0]), *words[1:]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        printed = process.communicate(timeout=60)[0]

    assert (process.returncode, "Traceback" in printed) == (130, False), printed
