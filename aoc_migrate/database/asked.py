"""What a person may ask of a run that is under way: the model of one row of the state table.

Whoever may write to our tables may write anything into that row. So it is read as data: a value of the wrong type
or out of range is left out, and named.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aoc_migrate.report.facts.steered import Change
from aoc_migrate.report.formatting import bytes_shown, duration, plain, shortened

CONTROL = "control"
"""The name of the row."""
LIMITS: dict[str, tuple[float, float]] = {
    "pace": (0.01, 1),
    "batch_time": (0.001, 0.5),
    "max_lag_bytes": (1, 2**62),
    "max_lag_seconds": (0.001, 590 * 3600),
}
"""The limits that may be changed, with the range that the options have; `max_lag_…` may be null, which is off."""
_FLAGS = ("pause", "pause_before_strong")
_TEXTS = ("continue", "stop_after")
_ABOUT = ("by", "host", "at", "changes")
_LONGEST = 200  # characters of a text


@dataclass(frozen=True)
class Asked:
    """What is asked of a run.

    ``settings`` are the valid ones, by their names in the row; ``changes`` all that the row recorded, the oldest
    first; ``last`` who says that they changed it last; ``ignored`` the names of what is not valid; ``recorded_at``
    when the row was written.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    last: Change | None = None
    ignored: tuple[str, ...] = ()
    recorded_at: str = ""

    @property
    def pause(self) -> bool:
        """Whether the run is to pause."""
        return self.settings.get("pause") is True

    @property
    def pause_before_strong(self) -> bool:
        """Whether the run is to pause before each strong lock."""
        return self.settings.get("pause_before_strong") is True

    @property
    def go_ahead(self) -> str | None:
        """A word that differs each time; a new one lets the next strong step through."""
        return self.settings.get("continue")

    @property
    def stop_after(self) -> str | None:
        """The revision at which the run is to end."""
        return self.settings.get("stop_after")

    @property
    def limits(self) -> dict[str, Any]:
        """The fields of `Limits` that are asked for."""
        return {name: self.settings[name] for name in LIMITS if name in self.settings}

    @property
    def states(self) -> dict[str, str]:
        """What is in force, for a report."""
        lasting = {
            name: value for name, value in self.settings.items() if name != "continue" and value is not False
        }
        return {name: value or "yes" for name, value in (_WORDS[n](v) for n, v in lasting.items())}


def readable(text: str | None, recorded_at: str) -> Asked:
    """Return what the row asks for, whatever its JSON is. ``recorded_at``: when it was written."""
    try:
        row = json.loads(text or "null")
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        return Asked(ignored=("the whole row",))
    valid = {name: value for name, value in row.items() if name not in _ABOUT and _is_valid(name, value)}
    unset = ("continue", "stop_after")
    settings = {name: value for name, value in valid.items() if not (value is None and name in unset)}
    ignored = tuple(shortened(plain(name), 60) for name in row if name not in _ABOUT and name not in valid)
    if isinstance(settings.get("max_lag_bytes"), float):
        settings["max_lag_bytes"] = int(settings["max_lag_bytes"])
    listed = row.get("changes") if isinstance(row.get("changes"), list) else []
    changes = tuple(change for change in map(change_of, listed or []) if change)
    last = change_of(_named(row) | {"asked": ""})
    return Asked(settings, changes, last, ignored, recorded_at)


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("by", "host", "at") if isinstance(row.get(name), str)}


def change_of(written: Any) -> Change | None:
    """Return a change as it was recorded, or None if it is not one: it may be any JSON."""
    if not isinstance(written, dict):
        return None
    texts = {name: written[name] for name in ("at", "by", "asked") if isinstance(written.get(name), str)}
    if len(texts) < 3:
        return None
    at, by, asked = (shortened(plain(text), _LONGEST) for text in texts.values())
    host = written.get("host")
    return Change(at, by, shortened(plain(host), _LONGEST) if isinstance(host, str) else None, asked)


def _is_valid(name: str, value: Any) -> bool:
    if name in _FLAGS:
        return isinstance(value, bool)
    if name in _TEXTS:
        return value is None or (isinstance(value, str) and len(value) <= _LONGEST)
    if name not in LIMITS:
        return False
    if value is None:
        return name.startswith("max_lag")
    least, most = LIMITS[name]
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def words(settings: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> str:
    """Return what ``settings`` ask for as a phrase, without what is the same in those ``before``."""
    known = before or {}
    changed = {name: value for name, value in settings.items() if name not in known or known[name] != value}
    if changed.get("continue", "") is None:
        del changed["continue"]
    if changed.get("pause") is False and changed.get("pause_before_strong") is False:
        del changed["pause_before_strong"]  # resume says both
    gone = [f"{name.replace('_', ' ')} as typed" for name in known if name not in settings and name != "continue"]
    return ", ".join([" ".join(_WORDS[n](v)).strip() for n, v in changed.items()] + gone)


_WORDS: dict[str, Callable[[Any], tuple[str, str]]] = {
    "pause": lambda on: ("pause" if on else "resume", ""),
    "pause_before_strong": lambda on: ("pause before strong locks" if on else "no pause before strong locks", ""),
    "continue": lambda _: ("continue", ""),
    "stop_after": lambda revision: ("stop after", revision),
    "pace": lambda share: ("pace", f"{share * 100:.4g}%"),
    "batch_time": lambda seconds: ("batch time", duration(seconds)),
    "max_lag_bytes": lambda size: ("max lag", "off" if size is None else bytes_shown(size)),
    "max_lag_seconds": lambda seconds: ("max lag in time", "off" if seconds is None else duration(seconds)),
}
"""The name and the value of each setting, for people."""
