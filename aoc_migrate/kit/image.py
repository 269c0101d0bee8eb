"""The bill of materials of the image: our packages, and below them Python and the packages of Debian.

deploy/Dockerfile runs it: python -m aoc_migrate.kit.image FOLDER-WITH-WHEELS FILE
"""

import platform
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

from aoc_migrate.kit.sbom import Component, component, sbom

_FIELDS = "${db:Status-Status} ${Package} ${Version} ${Architecture}\n"


def base() -> list[Component]:
    """Return the running Python, and the installed packages if the operating system is Debian or a relative."""
    python = platform.python_version()
    return [component("platform", "python", python, f"pkg:generic/python@{python}"), *_debian()]


def _debian() -> list[Component]:
    if not shutil.which("dpkg-query"):
        return []
    about = platform.freedesktop_os_release()
    distribution, release = about["ID"], about.get("VERSION_ID", "unstable")
    query = ["dpkg-query", "--show", f"--showformat={_FIELDS}"]
    listed = subprocess.run(query, check=True, capture_output=True, text=True).stdout
    installed = [line for line in listed.splitlines() if line.startswith("installed ")]
    found = [component("operating-system", distribution, release, f"pkg:generic/{distribution}@{release}")]
    for _, name, version, architecture in sorted(line.split() for line in installed):
        where = f"arch={architecture}&distro={distribution}-{release}"
        purl = f"pkg:deb/{distribution}/{quote(name, safe='')}@{quote(version, safe='')}?{where}"
        found.append(component("library", name, version, purl))
    return found


if __name__ == "__main__":
    wheels, file = map(Path, sys.argv[1:])
    file.write_text(sbom(sorted(wheels.glob("*.whl")), base()), encoding="utf-8")
