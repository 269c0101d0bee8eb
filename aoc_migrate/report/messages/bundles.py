"""What `bundle --check` finds."""

from aoc_migrate.report.messages.message import Text

_AGAIN = "Do not use it: carry the bundle over again, or have it made again."

BUNDLES: dict[str, Text] = {
    "bundle-missing": Text("{subject} is missing: the bundle is not whole.", _AGAIN),
    "bundle-changed": Text("{subject} was changed since the bundle was made: {reason}.", _AGAIN),
    "bundle-extra": Text("{subject} does not belong to the bundle{more}: nobody vouches for it.", _AGAIN),
    "bundle-broken": Text("{subject} cannot be checked: {reason}.", _AGAIN),
}
