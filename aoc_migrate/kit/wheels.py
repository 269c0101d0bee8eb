"""The packages of a bundle, downloaded by pip from the index that it is configured for."""

import re
import subprocess
import sys
from pathlib import Path

from aoc_migrate import __version__
from aoc_migrate.errors import refused
from aoc_migrate.kit.checksums import sha256

REQUIREMENTS = "requirements.txt"

_NO_ANSWER = re.compile("connection|timed out|name resolution|unreachable|retrying", re.IGNORECASE)


def download(folder: Path, platforms: tuple[str, ...], python: str | None, wheel: Path | None) -> None:
    """Put the wheels of this package and of its dependencies into ``folder``.

    Its own wheel is ``wheel``, or is built in a checkout, or comes from the index. Raises Abort: exit 3 if the
    index does not answer, otherwise 2.
    """
    folder.mkdir()
    checkout = Path(__file__).parents[2]
    if wheel is None and (checkout / "pyproject.toml").is_file():
        _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(checkout))
        (wheel,) = folder.glob("*.whl")
    requirement = str(wheel) if wheel else f"aoc-migrate=={__version__}"
    options = [word for platform in platforms for word in ("--platform", platform)]
    options += ["--python-version", python] if python else []
    _pip("download", "--only-binary=:all:", "--dest", str(folder), *options, requirement)


def pinned(wheels: list[Path]) -> str:
    """Return requirements that pin version and hash of each wheel, for pip's --require-hashes."""
    named = ([*wheel.name.split("-", 2)[:2], sha256(wheel)] for wheel in wheels)
    return "".join(f"{name}=={version} --hash=sha256:{digest}\n" for name, version, digest in named)


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
