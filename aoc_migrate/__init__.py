"""Alembic migrations that put the Aggregation-Only Contract into the StellaOps databases."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__version__ = "0.1.0"


def packaged_folder(name: str) -> "Path":
    """Return a folder that the wheel contains: inside the installed package, or next to it in a checkout."""
    from pathlib import Path

    inside = Path(__file__).parent / name
    return inside if inside.is_dir() else inside.parent.parent / name
