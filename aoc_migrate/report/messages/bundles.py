"""What `bundle --check` finds."""

from aoc_migrate.report.messages.message import Message

_AGAIN = "Do not use it: carry the bundle over again, or have it made again."

BUNDLES: dict[str, Message] = {
    "bundle-missing": Message("{subject} is missing: the bundle is not whole.", _AGAIN),
    "bundle-changed": Message("{subject} was changed since the bundle was made: {reason}.", _AGAIN),
    "bundle-extra": Message("{subject} does not belong to the bundle{more}: nobody vouches for it.", _AGAIN),
    "bundle-broken": Message("{subject} cannot be checked: {reason}.", _AGAIN),
}
