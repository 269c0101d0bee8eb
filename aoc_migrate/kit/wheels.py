"""The packages of a bundle, downloaded by pip from the index that it is configured for."""

import email.parser
import re
import subprocess
import sys
import zipfile
from email.message import Message
from pathlib import Path

from aoc_migrate import __version__
from aoc_migrate.errors import refused
from aoc_migrate.kit.checksums import sha256

REQUIREMENTS = "requirements.txt"

_TAG = re.compile(r"([a-z]+)[\d_]*_(.+)")  # manylinux_2_28_x86_64: manylinux, x86_64
_NO_ANSWER = re.compile("connection|timed out|name resolution|unreachable|retrying", re.IGNORECASE)


def download(folder: Path, platforms: tuple[str, ...], python: str | None, wheel: Path | None) -> None:
    """Put the wheels of this package and of its dependencies into ``folder``, for each of the platforms.

    Its own wheel is ``wheel``, or is built in a checkout, or comes from the index. Raises Abort: exit 3 if the
    index does not answer, otherwise 2.
    """
    folder.mkdir()
    checkout = Path(__file__).parents[2]
    if wheel is None and (checkout / "pyproject.toml").is_file():
        _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(checkout))
        (wheel,) = folder.glob("*.whl")
    requirement = str(wheel) if wheel else f"aoc-migrate=={__version__}"
    machines: dict[str, list[str]] = {}
    for platform in platforms:  # of several tags, pip takes the best wheel, not one for each
        machines.setdefault(_TAG.sub(r"\1 \2", platform), []).extend(["--platform", platform])
    versions = ["--python-version", python] if python else []
    for options in list(machines.values()) or [[]]:
        _pip("download", "--only-binary=:all:", "--dest", str(folder), *options, *versions, requirement)
    names = [name for name, _ in {tuple(path.name.split("-", 2)[:2]) for path in folder.glob("*.whl")}]
    if twice := [name for name in names if names.count(name) > 1]:
        raise refused(f"The platforms need different versions of {twice[0]}. Make a bundle for each of them.")
    own = [metadata for path in folder.glob("*.whl") if (metadata := read_metadata(path))["Name"] == "aoc-migrate"]
    if [metadata["Version"] for metadata in own] != [__version__]:
        raise refused(f"{requirement} is not aoc-migrate {__version__}, which the bundle describes.")


def read_metadata(wheel: Path) -> Message:
    """Return the metadata of a wheel."""
    with zipfile.ZipFile(wheel) as files:
        name = next(n for n in files.namelist() if n.endswith(".dist-info/METADATA"))
        return email.parser.Parser().parsestr(files.read(name).decode("utf-8"))


def pinned(wheels: list[Path]) -> str:
    """Return requirements that pin each package and the hashes of its wheels, for pip's --require-hashes."""
    hashes: dict[str, str] = {}
    for wheel in wheels:
        name, version = wheel.name.split("-", 2)[:2]
        package = f"{name}=={version}"
        hashes[package] = hashes.get(package, "") + f" --hash=sha256:{sha256(wheel)}"
    return "".join(f"{package}{listed}\n" for package, listed in hashes.items())


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments, "--quiet"]
    ran = subprocess.run(command, check=False, capture_output=True, text=True)
    if ran.returncode:
        lines = ran.stderr.strip().splitlines() or ["no error message"]
        reason = next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1])
        unreachable = _NO_ANSWER.search(ran.stderr)
        raise refused(
            f"pip could not get the packages: {reason.removeprefix('ERROR: ')}. "
            "Check --platform, --python-version and pip's index, or leave out the wheels with --no-wheels.",
            3 if unreachable else 2,
        )
