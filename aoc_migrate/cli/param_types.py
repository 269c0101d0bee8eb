"""The types of option values: times, shares, lags, run numbers, URLs. A number without a unit is refused."""

import re
from typing import Any
from urllib.parse import urlsplit

import click

from aoc_migrate.errors import refused

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
"""The units of a time, in seconds."""
_SIZES = {"kb": 2**10, "mb": 2**20, "gb": 2**30, "tb": 2**40}
"""The units of a size, in bytes."""
_SIZE = r"(\d{1,15}(?:\.\d+)?)(kB|MB|GB|TB)"


class Duration(click.ParamType[float]):
    """A time with its unit (``100ms``, ``2s``, ``5m``, ``1h``, ``1d``), in seconds, up to ``longest``.

    ``usual`` are the units to suggest for a number without one.
    """

    name = "duration"

    def __init__(self, longest: float = float("inf"), usual: tuple[str, str] = ("ms", "s")) -> None:
        self.longest, self.usual = longest, usual

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds; refuse a number without a unit."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(rf"(-?\d+(?:\.\d+)?)({'|'.join(_UNITS)}|)", value.strip())
        if not match:
            self.fail(f"{value!r} is not a duration; write 100ms, 2s, 5m, 1h or 1d", param, ctx)
        if not match[2]:
            suggested = " or ".join(match[1] + unit for unit in self.usual)
            self.fail(f"{value!r} has no unit; write {suggested}", param, ctx)
        seconds = float(match[1]) * _UNITS[match[2]]
        if seconds < 0.001:
            self.fail(f"{value!r} is too short; the minimum is 1ms", param, ctx)
        if seconds > self.longest:
            most = f"{self.longest / 3600:.0f}h" if self.longest >= 3600 else f"{self.longest * 1000:.0f}ms"
            self.fail(f"{value!r} is too long; the maximum is {most}", param, ctx)
        return seconds


class Ticket(click.ParamType[str]):
    """The name of a change ticket."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name without surrounding blanks; refuse an empty or long one, and unprintable characters."""
        from aoc_migrate.report.ticket import ticket_named

        try:
            return ticket_named(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Share(click.ParamType[float]):
    """A share of the time (``50%``), as a number between 0 and 1."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the share; refuse a bare number, because 1 could mean 100% or 1%."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)%", value.strip())
        if not match or not 1 <= float(match[1]) <= 100:
            self.fail(f"{value!r} is not a percentage; write one between 1% and 100%", param, ctx)
        return float(match[1]) / 100


class Lag(click.ParamType[dict[str, float | None]]):
    """The most lag of standbys, slots and archive (``64MB``, ``10s``, both, ``off``): fields of `Limits`."""

    name = "lag"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, float | None]:
        """Return the bounds that are given: bytes, seconds, or both."""
        if isinstance(value, dict):
            return value
        if value.strip().lower() == "off":
            return {"max_lag_bytes": None, "max_lag_seconds": None}
        found: dict[str, float | None] = {}
        for part in value.split(","):
            size = _bytes(part)
            if size is not None:
                found["max_lag_bytes"] = size
            elif re.search(rf"\d({'|'.join(_UNITS)})$", part.strip()):
                found["max_lag_seconds"] = DURATION.convert(part, param, ctx)
            else:
                self.fail(f"{part.strip()!r} is not a lag; write 64MB, 10s, both as 64MB,10s, or off", param, ctx)
        return found


class Sql(click.ParamType[str]):
    """A query, which no message repeats."""

    name = "sql"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the query as it was typed; refuse an empty one."""
        if not value.strip():
            self.fail("it is empty; is a variable unset?", param, ctx)
        return str(value)


class Size(click.ParamType[int]):
    """A size with its unit (``500MB``, ``20GB``), in bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return bytes; refuse a number without a unit."""
        if isinstance(value, int):
            return value
        size = _bytes(value)
        if size is None:
            self.fail(f"{value!r} is not a size; write 500MB, 20GB or 1TB", param, ctx)
        return size


def _bytes(text: str) -> int | None:
    found = re.fullmatch(_SIZE, text.strip(), re.IGNORECASE)
    return int(float(found[1]) * _SIZES[found[2].lower()]) if found else None


class RunNumber(click.ParamType[int]):
    """The number of a run in the ledger, a bigint."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number; refuse a number that no run can have."""
        if isinstance(value, int):
            return value
        if not re.fullmatch(r"[0-9]{1,19}", value) or not 0 < int(value) < 2**63:
            self.fail(f"{value!r} is not a run number; see: aoc-migrate history", param, ctx)
        return int(value)


class Gateway(click.ParamType[str]):
    """The URL of a push gateway. No message repeats it, because it may contain a password."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the URL; refuse one that is not an HTTP URL without query and fragment."""
        try:
            url = urlsplit(value)
            fits = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
            fits = fits and not (url.query or url.fragment) and re.fullmatch("[!-~]+", value) is not None
        except ValueError:
            fits = False
        if not fits:
            self.fail("not an http or https URL; write it as http://HOST:PORT", param, ctx)
        return str(value)


def not_empty(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Refuse an empty name, which would match nothing and so find nothing wrong."""
    if value is not None and not value.strip():
        raise click.BadParameter("it is empty; give a name, or leave out the option")
    return value


def password_of(_ctx: click.Context, _param: click.Parameter, file: str | None) -> str | None:
    """Return the password on the first line of a file (``-``: stdin). Raises Abort (exit 2) if it is empty."""
    if file is None:
        return None
    from aoc_migrate.database.secret_file import read_secret

    try:
        text = read_secret(0 if file == "-" else file, first_line=True)
    except ValueError as reason:
        raise refused(f"--password-file {file} cannot be read: {reason}.") from None
    password = text.rstrip("\r\n")
    if not password or "\0" in password:
        raise refused(f"--password-file {file}: the first line is empty; put the password there.")
    return password


RUN_NUMBER = RunNumber()
SIZE = Size()
GATEWAY = Gateway()
AGE = Duration(longest=876_000 * 3600, usual=("h", "d"))  # a hundred years
BATCH = Duration(longest=0.5)  # so that a batch ends within a second
DURATION = Duration(longest=590 * 3600)  # PostgreSQL's timeouts are 31 bits of milliseconds
