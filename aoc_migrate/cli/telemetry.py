"""Where metrics go: a file that is replaced in one move, and a push gateway."""

import base64
import os
import sys
import tempfile
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from aoc_migrate.report.model import Report

_PATIENCE = 10  # seconds


def publish(command: str, reports: "list[Report]", file: str | None, gateway: str | None) -> None:
    """Write and send the metrics of a run; what fails is told on stderr and changes no exit code."""
    from aoc_migrate.database.limits import read_flags
    from aoc_migrate.report.metrics import groups, metrics

    if not read_flags().metrics_enabled:
        return
    try:
        if file:
            before = Path(file).read_text(encoding="utf-8") if Path(file).exists() else ""
            _replace(Path(file), metrics(command, reports, time.time(), before))
        if gateway:
            for report in reports:
                for place, text in groups(command, report, time.time()):
                    _push(gateway, place, text)
    except (OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or type(error).__name__
        sys.stderr.write(f"aoc-migrate: the metrics were not published: {reason}\n")


def _replace(path: Path, text: str) -> None:
    """Write beside the file and rename, so that a collector never reads half of it."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
        try:
            new.write(text)
            new.close()
            os.chmod(new.name, 0o644)  # noqa: PTH101  (the collector is another user)
            os.replace(new.name, path)  # noqa: PTH105
        except BaseException:
            os.unlink(new.name)  # noqa: PTH108
            raise


def _push(gateway: str, place: str, text: str) -> None:
    """Send one group. A user and password in the URL are sent as they are in every browser: HTTP's basic."""
    parts = urlsplit(gateway)
    user, _, host = parts.netloc.rpartition("@")
    url = f"{parts.scheme}://{host}{parts.path.rstrip('/')}/metrics/{place}"
    headers = {"Content-Type": "text/plain"}
    if user:
        headers["Authorization"] = f"Basic {base64.b64encode(unquote(user).encode()).decode()}"
    request = urllib.request.Request(url, text.encode(), headers, method="PUT")  # noqa: S310
    with urllib.request.urlopen(request, timeout=_PATIENCE):  # noqa: S310
        return
