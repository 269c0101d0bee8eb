"""Publishing of metrics: to a file and to a push gateway."""

import time
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aoc_migrate.report.model import Report


def publish(command: str, reports: "list[Report]", file: str | None, gateway: str | None) -> None:
    """Write and send the metrics of a run. A failure is reported on stderr and does not change the exit code."""
    from aoc_migrate.database.limits import read_flags
    from aoc_migrate.database.log import sentence
    from aoc_migrate.report.metrics import push, write

    if not read_flags().metrics_enabled:
        return
    try:
        if file:
            write(Path(file), command, reports, time.time())
        for report in reports if gateway else ():
            push(str(gateway), command, report, time.time())
    except (OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or type(error).__name__
        sentence(f"could not publish metrics: {reason}", event="metrics", level="warning")
