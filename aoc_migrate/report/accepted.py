"""The findings that an operator accepts, each named as SLUG:OBJECT."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from aoc_migrate.report.formatting import plain

ACCEPTABLE = (
    "update-trigger",
    "foreign-code",
    "foreign-key-owner",
    "needs-search-path",
    "published-table",
    "published-bookkeeping",
    "subscribed-table",
    "subscribed-bookkeeping",
    "swap-conflict",
    "move-trigger",
)
"""The slugs of findings that can be accepted. Some of ``swap-conflict`` cannot, and print no option."""


def parsed(text: str) -> tuple[str, str]:
    """Return slug and object, which the first colon separates. Raises ValueError with a message for users."""
    slug, colon, object_ = text.partition(":")
    if not slug or not colon:
        reason = f"{text!r} has no slug before a colon"
    elif slug not in ACCEPTABLE:
        reason = f"{slug} cannot be accepted"
    elif not object_.strip():
        reason = f"{text!r} has no object after the colon"
    else:
        return slug, object_
    raise ValueError(f"{reason}; write SLUG:OBJECT as the finding prints it, with one of {', '.join(ACCEPTABLE)}")


def option(slug: str, object_: str) -> str:
    """Return the option that accepts this finding, quoted for a shell."""
    return f"--accept {shlex.quote(f'{slug}:{object_}')}"


@dataclass(frozen=True)
class Accepted:
    """The accepted findings, as pairs of slug and object. Pairs that match no finding do no harm."""

    findings: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Accepted":
        """Return the findings that texts like SLUG:OBJECT name. Raises ValueError."""
        return cls(frozenset(map(parsed, texts)))

    def has(self, slug: str, object_: str) -> bool:
        """Return whether this finding is accepted, by the name of its object as it is or as reports print it."""
        return (slug, object_) in self.findings or (slug, plain(object_)) in self.findings


NOTHING = Accepted()
