"""The site: its pages assembled in a temporary folder, and built there by Sphinx."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.pages.site.sources import assemble

SPHINX = ("-m", "sphinx", "--builder", "html", "--fail-on-warning", "--quiet", "--no-color")
MARK = "objects.inv"
"""A file of every site, by which a folder is known to hold one."""


def build(root: Path, folder: Path) -> int:
    """Build the site of a checkout in ``folder``; return the exit code.

    1: a page is wrong; stderr says which and in which line, and ``folder`` is left as it was. 2: ``folder`` holds
    something other than a site, or cannot be written.
    """
    folder = folder.resolve()
    try:
        if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
            return refused(f"{folder} holds something other than a site. Name a new or an empty folder.")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="aoc-migrate-site-") as temporary:
            built = Path(temporary).resolve() / "site"
            if not made(root, built):
                return 1
            shutil.rmtree(folder)
            shutil.move(built, folder)
    except OSError as error:
        return refused(f"{error.filename}: {error.strerror}.")
    print(folder / "index.html")
    return 0


def refused(why: str) -> int:
    """Say on stderr why there is no site."""
    print(f"scripts/docs: {why}", file=sys.stderr)
    return 2


def made(root: Path, built: Path) -> bool:
    """Build the site in a new folder; say on stderr what is wrong with which page of the checkout."""
    source = built.with_name("source")
    assemble(root, source)
    folders = ("--conf-dir", Path(__file__).parent, "--doctree-dir", built.with_name("doctrees"), source, built)
    ran = subprocess.run(
        [sys.executable, *SPHINX, *folders],
        check=False,
        cwd=root,
        env=os.environ | {"LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"},
        stderr=subprocess.PIPE,
        text=True,
    )
    sys.stderr.write(re.sub(r"(?m)^(\S*?)index\.md:", r"\1README.md:", ran.stderr.replace(f"{source}/", "")))
    return ran.returncode == 0
