"""What we call ourselves on the server."""

import os
import socket


def application_name(command: str, doing: str) -> str:
    """Return our name in pg_stat_activity: command, pod and step, in at most 63 bytes."""
    return f"aoc-migrate {command} @{who()[:30]}: {doing}".encode("ascii", "replace").decode()[:63]


def who() -> str:
    """Return the name of the pod or the machine."""
    return os.environ.get("HOSTNAME") or socket.gethostname()
