"""The Offline Kit: whole, reproducible, checkable, and enough to upgrade without a network."""

import hashlib
import json
import re
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from aoc_migrate import __version__
from aoc_migrate.revisions.graph import head
from tests.conftest import ROOT, Aoc, Database
from tests.helpers import psql


@pytest.fixture(scope="session")
def bundle_without_wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle without wheels, with one report."""
    folder = tmp_path_factory.mktemp("kit")
    (folder / "verify.html").write_text("<p>all is well</p>", encoding="utf-8")
    made = Aoc()("bundle", str(folder / "new"), "--no-wheels", "--report", str(folder / "verify.html"))
    assert made.exit_code == 0, made.err
    return folder / "new"


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's path and bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_file_is_in_the_sums(bundle_without_wheels: Path) -> None:
    """sha256sum finds every file unchanged; manifest and sums list the same files."""
    summed = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=bundle_without_wheels, check=False
    )
    manifest = json.loads((bundle_without_wheels / "manifest.json").read_text(encoding="utf-8"))
    files = contents(bundle_without_wheels)

    assert summed.returncode == 0
    listed = (bundle_without_wheels / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    assert {line.partition("  ")[2] for line in listed} == files.keys() - {"SHA256SUMS"}
    assert {f["path"]: f["sha256"] for f in manifest["files"]} == {
        name: hashlib.sha256(content).hexdigest()
        for name, content in files.items()
        if name not in ("manifest.json", "SHA256SUMS")
    }
    assert manifest["package"] == {"name": "aoc-migrate", "version": __version__}
    assert {t: v["head"] for t, v in manifest["targets"].items()} == {
        t: head(t) for t in ("concelier", "excititor")
    }


def test_the_bundle_holds_scripts_docs_and_report(bundle_without_wheels: Path) -> None:
    """The bundle has scripts for both targets, docs with the schema, the report, and a README."""
    files = contents(bundle_without_wheels)
    readme = files["README.md"].decode()

    assert {"sql/concelier-upgrade.sql", "sql/excititor-downgrade.sql", "sql/apply-aoc-constraints.sql"} <= set(
        files
    )
    assert {f"docs/{path.name}" for path in (ROOT / "docs").glob("*")} <= set(files)
    assert files["reports/verify.html"] == b"<p>all is well</p>"
    named = re.findall(r"sql/[\w-]+\.sql", readme)
    assert named
    assert all((bundle_without_wheels / path).exists() for path in named)
    assert not [name for name in files if name.endswith(".whl") or name == "requirements.txt"]


def test_the_bundle_is_reproducible(bundle_without_wheels: Path, tmp_path: Path) -> None:
    """A bundle made elsewhere from the same input has files with the same bytes, modes and times."""
    ran = Aoc()(
        "bundle",
        str(tmp_path / "new" / "folders" / "other"),
        "--no-wheels",
        "--report",
        str(bundle_without_wheels / "reports" / "verify.html"),
    )
    assert ran.exit_code == 0

    archives = []
    for number, folder in enumerate((bundle_without_wheels, tmp_path / "new" / "folders" / "other")):
        path = tmp_path / f"{number}.tar"
        with tarfile.open(path, "w") as archive:
            for file in sorted(folder.rglob("*")):
                archive.add(file, file.relative_to(folder).as_posix(), recursive=False)
        archives.append(path.read_bytes())

    assert archives[0] == archives[1]


def test_everybody_may_read_the_bundle(bundle_without_wheels: Path) -> None:
    """Its files can be read by everybody and written by their owner alone, whatever the umask was."""
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in bundle_without_wheels.rglob("*")}

    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o755}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o644}


def test_the_signer_gets_the_sums(tmp_path: Path) -> None:
    """The signer gets the sums as its last argument; what it adds to the folder stays."""
    signer = tmp_path / "sign er"
    signer.write_text('#!/bin/sh\nsha256sum "$2" > "$2.sig"\n', encoding="utf-8")
    signer.chmod(0o755)

    ran = Aoc()("bundle", str(tmp_path / "kit"), "--no-wheels", "--sign-command", f"'{signer}' --armor")

    assert ran.exit_code == 0, ran.err
    assert (tmp_path / "kit" / "SHA256SUMS.sig").read_text(encoding="utf-8").endswith("  SHA256SUMS\n")


@pytest.mark.parametrize(
    ("folder", "epoch", "message"),
    [
        (".", "0", "cannot replace the current folder"),
        ("n" * 300, "0", "cannot be read: File name too long"),
        ("kit", "today", "SOURCE_DATE_EPOCH is not a number"),
    ],
    ids=["here", "long", "epoch"],
)
def test_wrong_usage_is_refused_before_the_work(
    folder: str, epoch: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder or a time that cannot be used is refused in one sentence, and nothing is left behind."""
    monkeypatch.chdir(tmp_path)

    ran = Aoc({"SOURCE_DATE_EPOCH": epoch})("bundle", folder, "--no-wheels")

    assert (ran.exit_code, message in ran.err, list(tmp_path.iterdir())) == (2, True, [])


def test_a_signer_may_be_named_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path of the signer starts where the command was typed, not in the new folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sign").write_text('#!/bin/sh\ntouch "$1.sig"\n', encoding="utf-8")
    (tmp_path / "sign").chmod(0o755)

    ran = Aoc()("bundle", "kit", "--no-wheels", "--sign-command", "./sign")

    assert (ran.exit_code, (tmp_path / "kit" / "SHA256SUMS.sig").exists()) == (0, True), ran.err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("false", "failed with exit code 1"),
        ("true", "wrote no SHA256SUMS.asc"),
        ("/nowhere/signer", "Could not start the signer"),
        ("", "Could not start the signer"),
        ("'", "Could not start the signer"),
    ],
)
def test_a_failing_signer_leaves_no_bundle(command: str, message: str, tmp_path: Path) -> None:
    """If signing fails, no bundle remains, nor any part of one."""
    ran = Aoc()("bundle", str(tmp_path / "kit"), "--no-wheels", "--sign-command", command)

    assert ran.exit_code == 2
    assert message in ran.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["PASSPHRASE=hunter2 gpg -b", "PASSPHRASE='hunter2", "PASSPHRASE=/hunter2"])
def test_a_variable_for_the_signer_is_not_repeated(command: str, tmp_path: Path) -> None:
    """An assignment before the signer, which only a shell would understand, is refused without its value."""
    ran = Aoc()("bundle", str(tmp_path / "kit"), "--no-wheels", "--sign-command", command)

    assert (ran.exit_code, "Export the variable first" in ran.err) == (2, True)
    assert "hunter2" not in ran.out + ran.err


def test_wrong_input_exits_2_and_writes_nothing(tmp_path: Path) -> None:
    """Wrong input is refused with exit code 2, and nothing is written."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("kept", encoding="utf-8")
    (tmp_path / "one").mkdir()
    for folder in ("one", "full"):
        (tmp_path / folder / "same").write_text(folder, encoding="utf-8")
    new = str(tmp_path / "new")
    same = ["--report", f"{tmp_path}/one/same", "--report", f"{tmp_path}/full/same"]
    (tmp_path / "a\nb.html").touch()
    before = contents(tmp_path)
    cases = {
        "not an empty folder": [str(tmp_path / "full"), "--no-wheels"],
        "already exists": [str(tmp_path / "full" / "file"), "--no-wheels"],
        "is not a file": [new, "--no-wheels", "--report", str(tmp_path / "gone")],
        "have the same file name": [new, "--no-wheels", *same],
        "'a\\nb.html' has a character that cannot be printed": [
            *(new, "--no-wheels"),
            *("--report", f"{tmp_path}/a\nb.html"),
        ],
        "cannot be combined": [new, "--no-wheels", "--platform", "any"],
        "cannot be created": ["/proc/nowhere/kit", "--no-wheels"],
    }

    for message, words in cases.items():
        ran = Aoc()("bundle", *words)
        assert (ran.exit_code, ran.out) == (2, ""), words
        assert message in ran.err
    assert contents(tmp_path) == before


def test_psql_alone_migrates_with_the_bundle(
    bundle_without_wheels: Path, target_with_chain: Database, aoc: Aoc
) -> None:
    """With psql and the bundle's scripts a database goes to head, where verify finds nothing, and back to base."""
    up = (bundle_without_wheels / "sql" / f"{target_with_chain.target}-upgrade.sql").read_text(encoding="utf-8")
    down = (bundle_without_wheels / "sql" / f"{target_with_chain.target}-downgrade.sql").read_text(
        encoding="utf-8"
    )

    assert psql(target_with_chain, up, "-v", "retrofit=1").exit_code == 0
    assert aoc.json("verify", target_with_chain.target).slugs() == []
    assert psql(target_with_chain, down).exit_code == 0
    assert aoc.json("status", target_with_chain.target).report["revision"] is None
