"""The last figures of each proof: docs/reliability.json, of which scripts/docs makes docs/reliability.md."""

import json
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "docs" / "reliability.json"


def record(proof: str, figures: dict[str, Any], *, postgresql: str | None = None) -> None:
    """Put the figures of a run that has just ended in place of the last ones of the same proof.

    ``proof``: the name of the script, such as "soak". ``figures``: strings and numbers; a name ends in its unit
    where it has one, as in "longest_stall_ms". ``postgresql``: the server's version, such as "18.6".
    """
    known = _known()
    known[proof] = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "python": platform.python_version(),
        "postgresql": postgresql,
        "figures": figures,
    }
    FIGURES.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def figures(proof: str) -> dict[str, Any]:
    """Return the last figures of a proof; none if it has never run."""
    return dict(_known().get(proof, {"figures": {}})["figures"])


def _known() -> dict[str, dict[str, Any]]:
    known: dict[str, dict[str, Any]] = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    return known


def commit() -> str:
    """Return the short name of the commit that is checked out, with "+" if files differ from it."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--exclude=*", "--dirty=+"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
