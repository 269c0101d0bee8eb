"""checkov finds nothing in what the chart renders, but for the rules that deploy/helm/.checkov.yaml explains."""

import re
import shutil
import subprocess

import pytest
import yaml

from tests.conftest import ROOT
from tests.deploy.conftest import HERE

CONFIG = ROOT / "deploy" / "helm" / ".checkov.yaml"
CHECKOV = shutil.which("checkov")


@pytest.mark.skipif(
    CHECKOV is None, reason="no checkov in PATH: pip install checkov, in an environment of its own"
)
def test_checkov_finds_nothing() -> None:
    """Every rule of checkov that is not skipped holds for every golden manifest."""
    ran = subprocess.run(
        [str(CHECKOV), "--config-file", str(CONFIG), "--directory", str(HERE / "golden")],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_each_exception_has_a_reason() -> None:
    """Each rule that is skipped has a comment of its own above it."""
    text = CONFIG.read_text(encoding="utf-8")
    skipped = yaml.safe_load(text)["skip-check"]

    assert re.findall(r"(?m)^  # .+\n(?:  # .+\n)*  - (CKV\w+)$", text) == skipped
