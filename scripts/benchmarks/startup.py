"""What a command costs before it does anything, compared with an empty click program and stock Alembic."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts.benchmarks.lab import AOC, Lab, run
from scripts.benchmarks.results import Ratio, in_turn, say
from scripts.benchmarks.rivals import alembic

EMPTY = "import click\n\n@click.command()\ndef empty():\n    'Do nothing.'\n\nempty()\n"
TIMES = 20


def measure(lab: Lab) -> Iterator[Ratio]:
    """Measure each twenty times, in turn; the best time counts."""
    empty = lab.folder / "empty.py"
    empty.write_text(EMPTY, encoding="utf-8")
    ours, other = in_turn(
        TIMES, lambda: run([*AOC, "--help"]), lambda: run([sys.executable, str(empty), "--help"])
    )
    yield Ratio("`--help`", "an empty click program", ours * 1000, other * 1000, "ms", 1.3)
    lab.create("small", documents=True, rows=1000)
    lab.aoc("small", "upgrade", "concelier")
    url = {"CONCELIER_DATABASE_URL": lab.server.url("small")}
    lab.replace("plain", "template1")
    alembic(lab, "plain", (), "stamp", "head")
    upgrade, wait, other = in_turn(
        TIMES,
        lambda: run([*AOC, "upgrade", "concelier"], **url),
        lambda: run([*AOC, "wait", "concelier"], **url),
        lambda: alembic(lab, "plain", (), "current"),
    )
    yield Ratio("`upgrade` with nothing to do", "`alembic current`", upgrade * 1000, other * 1000, "ms", 0.5)
    yield Ratio("`wait` at head", "`alembic current`", wait * 1000, other * 1000, "ms", 0.5)
    yield from against_dbmate(lab, url)
    lab.drop("small")
    lab.drop("plain")


def against_dbmate(lab: Lab, url: dict[str, str]) -> Iterator[Ratio]:
    """Compare with dbmate, a single binary, where it is installed; a wrapper of it would be slower."""
    dbmate = shutil.which("dbmate", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if dbmate is None or Path(dbmate).read_bytes()[:2] == b"#!":
        say("startup: no comparison with dbmate, whose binary is not installed")
        return
    folder = lab.folder / "dbmate"
    folder.mkdir(exist_ok=True)
    place = f"{lab.server.url('small')}?sslmode=disable"
    status = [dbmate, "--url", place, "--migrations-dir", str(folder), "--no-dump-schema", "migrate"]
    (folder / "20250101000000_nothing.sql").write_text(
        "-- migrate:up\nSELECT 1;\n-- migrate:down\n", encoding="utf-8"
    )
    run(status)
    ours, other = in_turn(TIMES, lambda: run([*AOC, "upgrade", "concelier"], **url), lambda: run(status))
    yield Ratio(
        "`upgrade` with nothing to do, against dbmate",
        "`dbmate migrate` likewise, its binary",
        ours * 1000,
        other * 1000,
        "ms",
        10,
    )
