"""Bad input to `upgrade --plan`: one sentence, exit 2, nothing of the file repeated, nothing changed."""

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aoc_migrate.run.approved_plan import MOST_BYTES, seal
from tests.conftest import Aoc, Database
from tests.test_approved_plan import make_plan
from tests.test_bad_input import nothing_of_ours

MARK = "SECRET-OF-THE-FILE"


def refused(aoc: Aoc, file: Path | str, *words: str) -> str:
    """Run the plan, which is refused, and return the sentence."""
    ran = aoc("upgrade", "excititor", "--plan", str(file), *words)
    assert (ran.exit_code, ran.out) == (2, "")
    assert "Traceback" not in ran.err
    assert MARK not in ran.err
    return " ".join(ran.err.split())


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda file: None, "No such file or directory"),
    "folder": (lambda file: file.mkdir(), "directory"),
    "fifo": (os.mkfifo, "it is no regular file"),
    "endless": (lambda file: file.symlink_to("/dev/zero"), "it is no regular file"),
    "too long": (lambda file: file.open("wb").truncate(MOST_BYTES + 1), "it is longer than 32 MB"),
    "empty": (lambda file: file.touch(), "is no plan in JSON"),
    "text": (lambda file: file.write_text(MARK), "is no plan in JSON"),
    "bytes": (lambda file: file.write_bytes(b"\xff\xfe\x00{\x80"), "is no plan in JSON"),
    "too deep": (lambda file: file.write_text('{"a":' * 100_000), "is no plan in JSON"),
    "deep, whole": (lambda file: file.write_text("[" * 9000 + "]" * 9000), "is no plan in JSON"),
    "long number": (lambda file: file.write_text("1" * 10_000), "is no plan in JSON"),
    "other JSON": (lambda file: file.write_text(json.dumps({MARK: [None, 1.5, MARK]})), "is no plan in JSON"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_no_plan_is_refused(kind: str, excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """What cannot be read, or is no plan, is refused before anything connects."""
    aoc.environment["EXCITITOR_DATABASE_URL"] = "postgresql://nowhere.invalid/x"
    make, reason = FILES[kind]
    make(tmp_path / "plan.json")

    sentence = refused(aoc, tmp_path / "plan.json")

    assert reason in sentence
    assert "nowhere" not in sentence


def changed(document: Any, **keys: Any) -> Any:
    """Return a plan with other facts, sealed again."""
    report = document["reports"][0]
    report["facts"] |= keys
    report["facts"]["plan_digest"] = seal(document["versions"]["aoc_migrate"], report)
    return document


def edit(plan: Any, **keys: Any) -> Any:
    """Return a plan with other facts, as if edited by hand."""
    plan["reports"][0]["facts"] |= keys
    return plan


def moved(what: str, plan: Any) -> Any:
    """Return a plan with another server, database or schema, as if edited by hand."""
    return plan | {"reports": [plan["reports"][0] | {what: MARK}]}


STRANGE: dict[str, Any] = {
    "direction": 1,
    "from_revision": "concelier_0001",
    "to_revision": None,
    "plan": [{"change": "+", "objects": [1]}],
    "revisions": {"a": 1},
    "catalog": {"vex_raw": {"column": [MARK]}},
}
EDITS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "no object": (lambda plan: [plan], "is no plan in JSON"),
    "another command": (lambda plan: plan | {"command": MARK}, "is no plan in JSON"),
    "another schema": (lambda plan: plan | {"schema": 99}, "was made by another version of aoc-migrate; this is"),
    "another version": (
        lambda plan: plan | {"versions": {"aoc_migrate": "9.9"}},
        "was made by aoc-migrate 9.9; this is",
    ),
    "a strange version": (
        lambda plan: plan | {"versions": {"aoc_migrate": f"{MARK}\x1b[2J"}},
        "was made by another version of aoc-migrate; this is",
    ),
    "two targets": (
        lambda plan: plan | {"reports": plan["reports"] * 2},
        "holds the plans of 2 targets; each needs",
    ),
    "no target": (lambda plan: plan | {"reports": []}, "is damaged"),
    "no report": (lambda plan: plan | {"reports": [MARK]}, "is damaged"),
    "another target": (
        lambda plan: plan | {"reports": [plan["reports"][0] | {"target": "concelier"}]},
        "is no plan of excititor",
    ),
    "a downgrade": (lambda plan: changed(plan, direction="downgrade"), "is the plan of a downgrade"),
    "edited by hand": (lambda plan: edit(plan, to_revision="excititor_0004"), "was changed after it was made"),
    **{
        f"of another {what}": (partial(moved, what), "was changed after it was made")
        for what in ("server", "database", "schema")
    },
    "without a database": (
        lambda plan: plan | {"reports": [{k: v for k, v in plan["reports"][0].items() if k != "database"}]},
        "was changed after it was made",
    ),
    "a failed plan": (
        lambda plan: plan | {"reports": [plan["reports"][0] | {"facts": {}}]},
        "does not say what it is bound to",
    ),
    **{
        f"sealed, with a strange {key}": (partial(changed, **{key: value}), "is damaged")
        for key, value in STRANGE.items()
    },
}


@pytest.mark.alike
@pytest.mark.parametrize("kind", EDITS)
def test_a_plan_that_may_not_run_is_refused(kind: str, excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """A plan that was changed, or is not for this target and version, is refused, and nothing changes."""
    aoc.configure(excititor)
    file = make_plan(aoc, tmp_path)
    change, reason = EDITS[kind]
    file.write_text(json.dumps(change(json.loads(file.read_text(encoding="utf-8")))))

    assert reason in refused(aoc, file)
    assert nothing_of_ours(excititor)


def test_the_words_must_fit_the_plan(excititor: Database, concelier: Database, aoc: Aoc, tmp_path: Path) -> None:
    """A typed revision must be the plan's, a URL is not repeated, and several targets need a name."""
    aoc.configure(excititor)
    file = make_plan(aoc, tmp_path, "excititor_0004")

    assert "goes to excititor_0004, not to head." in refused(aoc, file, "head")
    assert "not to +1." in refused(aoc, file, "+1")
    assert "takes a file, not a URL" in refused(aoc, f"postgresql://u:{MARK}@h/d")
    aoc.configure(concelier)
    several = aoc("upgrade", "--plan", str(file))
    assert (several.exit_code, "Several targets are configured: name one." in several.err) == (2, True)
    assert nothing_of_ours(excititor)
    assert aoc.json("upgrade", "excititor", "+4", "--plan", str(file)).report["revision"] == "excititor_0004"
    file.write_text(json.dumps(changed(json.loads(file.read_text(encoding="utf-8")), to_revision="base")))
    assert "goes to base, not to head." in refused(aoc, file, "head")
