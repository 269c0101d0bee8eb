"""The Offline Kit with its packages: pip finds all that it needs, and the bill of materials names it."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from aoc_migrate.kit.sbom import sbom
from aoc_migrate.kit.wheels import pinned
from tests.conftest import Aoc, Database
from tests.test_bundle import contents


@pytest.fixture(scope="session")
def bundle_with_wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with wheels for this interpreter, from the package index."""
    folder = tmp_path_factory.mktemp("wheels") / "kit"
    made = Aoc()("bundle", str(folder))
    if made.exit_code == 3:
        pytest.skip(f"no package index answers: {made.err}")
    assert made.exit_code == 0, made.err
    return folder


def clean_environment() -> dict[str, str]:
    """Return this environment without what says where packages come from, and without our own settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON", "AOC_"))}
    return kept | {"PIP_CONFIG_FILE": os.devnull}


def install(bundle: Path, venv: Path) -> subprocess.CompletedProcess[str]:
    """Make a virtual environment and install into it, with the words of the bundle's README."""
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    (words,) = re.findall(
        "(?m)^../aoc/bin/python (-m pip .*)$", (bundle / "README.md").read_text(encoding="utf-8")
    )
    command = [str(venv / "bin" / "python"), *words.split()]
    return subprocess.run(
        command, cwd=bundle, env=clean_environment(), check=False, capture_output=True, text=True
    )


@pytest.fixture(scope="session")
def programs(bundle_with_wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a virtual environment into which the bundle was installed, each wheel by its sum."""
    venv = tmp_path_factory.mktemp("installed") / "venv"
    installed = install(bundle_with_wheels, venv)
    assert installed.returncode == 0, installed.stderr
    return venv / "bin"


@pytest.mark.nightly
def test_the_bundle_upgrades_without_a_network(
    bundle_with_wheels: Path,
    programs: Path,
    tmp_path: Path,
    target_with_chain: Database,
    aoc: Aoc,
    retrofit: dict[str, str],
) -> None:
    """Installed from the bundle alone, the command runs, upgrades and verifies."""
    environment = clean_environment()

    def run(*words: str) -> int:
        command = [str(programs / "aoc-migrate"), *words]
        return subprocess.run(
            command, cwd="/", env=environment | aoc.environment | retrofit, check=False
        ).returncode

    assert run("--version") == 0
    assert run("upgrade", target_with_chain.target) == 0
    assert run("verify", target_with_chain.target, "--probe") == 0
    assert run("bundle", str(tmp_path / "again"), "--no-wheels") == 0
    assert contents(tmp_path / "again")["docs/cli.md"] == contents(bundle_with_wheels)["docs/cli.md"]


def test_a_changed_wheel_is_refused(bundle_with_wheels: Path, tmp_path: Path) -> None:
    """pip refuses a wheel whose bytes changed, even one that would install, and so does sha256sum."""
    copy = tmp_path / "kit"
    shutil.copytree(bundle_with_wheels, copy)
    (wheel,) = (copy / "wheels").glob("aoc_migrate-*.whl")
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.comment = b"changed"

    installed = install(copy, tmp_path / "venv")
    summed = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=copy, check=False)

    assert installed.returncode != 0
    assert "DO NOT MATCH THE HASHES" in installed.stderr
    assert not (tmp_path / "venv" / "bin" / "aoc-migrate").exists()
    assert summed.returncode == 1


def test_each_wheel_is_pinned(bundle_with_wheels: Path) -> None:
    """requirements.txt names exactly the wheels of the bundle, each by version and sum."""
    pins = re.findall(
        r"(?m)^(\S+)==(\S+) --hash=sha256:([0-9a-f]{64})$", (bundle_with_wheels / "requirements.txt").read_text()
    )
    files = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (bundle_with_wheels / "wheels").iterdir()
    }

    assert len(pins) == len(files)
    assert {digest for *_, digest in pins} == set(files.values())


def test_the_bill_of_materials_names_each_wheel(bundle_with_wheels: Path) -> None:
    """The SBOM names each wheel but our own, with version, purl and sum, and what depends on what by reference."""
    bom = json.loads((bundle_with_wheels / "sbom.cdx.json").read_text(encoding="utf-8"))
    files = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (bundle_with_wheels / "wheels").iterdir()
    }

    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    own = next(name for name in files if name.startswith("aoc_migrate-"))
    assert {c["hashes"][0]["alg"] for c in bom["components"]} == {"SHA-256"}
    assert {c["hashes"][0]["content"] for c in bom["components"]} == {v for k, v in files.items() if k != own}
    assert {"alembic", "SQLAlchemy", "psycopg", "click"} <= {c["name"] for c in bom["components"]}
    assert all(
        c["purl"] == f"pkg:pypi/{c['name'].lower().replace('_', '-')}@{c['version']}" for c in bom["components"]
    )
    references = [bom["metadata"]["component"]["bom-ref"], *(c["bom-ref"] for c in bom["components"])]
    assert len(references) == len(set(references))
    assert set(bom["dependencies"][0]["dependsOn"]) == set(references[1:])


@pytest.mark.nightly
def test_each_platform_has_its_wheels(tmp_path: Path) -> None:
    """A kit for two machines has the wheels of both, pinned in one line a package, each named once in the SBOM."""
    machines = ("x86_64", "aarch64")
    words = [word for machine in machines for word in ("--platform", f"manylinux2014_{machine}")]
    ran = Aoc()("bundle", str(tmp_path / "kit"), "--python-version", "3.12", *words)
    if ran.exit_code:
        pytest.skip(f"the package index at hand has no wheels for one of them: {ran.err}")

    names = [path.name for path in (tmp_path / "kit" / "wheels").glob("psycopg_binary-*")]
    lines = (tmp_path / "kit" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    bom = json.loads((tmp_path / "kit" / "sbom.cdx.json").read_text(encoding="utf-8"))
    references = [component["bom-ref"] for component in bom["components"]]
    assert sorted(machine for machine in machines for name in names if machine in name) == sorted(machines)
    assert [line.count("--hash") for line in lines if line.startswith("psycopg_binary")] == [2]
    assert len(references) == len(set(references))
    assert len(lines) == len({line.split("==")[0] for line in lines})


def test_two_wheels_of_a_package_are_kept_apart(tmp_path: Path) -> None:
    """Wheels of one package for two machines are pinned in one line, and named apart in the SBOM."""
    wheels = [tmp_path / f"some_thing-1.0-cp312-cp312-manylinux2014_{m}.whl" for m in ("aarch64", "x86_64")]
    for wheel in wheels:
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("some_thing-1.0.dist-info/METADATA", "Name: some-thing\nVersion: 1.0\n")
            archive.writestr("machine", wheel.name)
    digests = [hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels]

    components = json.loads(sbom(wheels))["components"]

    assert pinned(wheels) == f"some_thing==1.0 --hash=sha256:{digests[0]} --hash=sha256:{digests[1]}\n"
    assert [c["purl"] for c in components] == [f"pkg:pypi/some-thing@1.0?file_name={w.name}" for w in wheels]


def test_the_wheel_of_another_package_is_refused(bundle_with_wheels: Path, tmp_path: Path) -> None:
    """A wheel that is not this version of aoc-migrate makes no kit."""
    (wheel,) = (bundle_with_wheels / "wheels").glob("click-*.whl")

    ran = Aoc()("bundle", str(tmp_path / "kit"), "--wheel", str(wheel))

    assert (ran.exit_code, "is not aoc-migrate" in ran.err, list(tmp_path.iterdir())) == (2, True, [])


def test_an_unknown_platform_is_refused(tmp_path: Path) -> None:
    """pip's refusal is printed in one sentence, and nothing is left behind."""
    ran = Aoc()("bundle", str(tmp_path / "kit"), "--platform", "sparc_solaris", "--python-version", "3.12")
    if ran.exit_code == 3:
        pytest.skip(f"no package index answers: {ran.err}")

    assert ran.exit_code == 2
    assert "pip could not get the packages" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_the_bill_of_materials_has_every_license(bundle_with_wheels: Path) -> None:
    """The SBOM has what each wheel declares as its license, whichever way its metadata has it."""
    bom = json.loads((bundle_with_wheels / "sbom.cdx.json").read_text(encoding="utf-8"))
    licenses = {c["name"]: c.get("licenses") for c in bom["components"]}

    assert [name for name, known in licenses.items() if not known] == []
    assert licenses["psycopg"] == [{"expression": "LGPL-3.0-only"}]


@pytest.mark.parametrize(
    ("fields", "license_"),
    [
        ("License-Expression: MIT\nLicense: not this", [{"expression": "MIT"}]),
        ("License: BSD\nClassifier: License :: OSI Approved :: MIT License", [{"license": {"name": "BSD"}}]),
        (
            "License: The whole text,\n  in lines.\nClassifier: License :: OSI Approved :: MIT License\n"
            "Classifier: License :: Public Domain\nClassifier: Topic :: Database",
            [{"license": {"name": "MIT License"}}, {"license": {"name": "Public Domain"}}],
        ),
        ("Classifier: Topic :: Database", None),
    ],
)
def test_a_license_is_read_from_any_field(fields: str, license_: object, tmp_path: Path) -> None:
    """An SPDX expression comes first, then a name of one line, then the classifiers; a license text is no name."""
    wheel = tmp_path / "some-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("some-1.dist-info/METADATA", f"Metadata-Version: 2.4\nName: some\nVersion: 1\n{fields}\n")

    (component,) = json.loads(sbom([wheel]))["components"]

    assert component.get("licenses") == license_
