"""What a person accepts: findings, each named as SLUG:OBJECT. Here is said which can be, and what is typed."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

ACCEPTABLE = ("update-trigger", "foreign-code", "needs-search-path", "swap-conflict", "move-trigger")
"""The slugs of findings that can be accepted; some of ``swap-conflict`` cannot, and print no option."""


def parsed(text: str) -> tuple[str, str]:
    """Return slug and object; only the first colon separates. Raises ValueError that says what is wrong."""
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
    """Return what accepts this finding, as one types it in a shell."""
    return f"--accept {shlex.quote(f'{slug}:{object_}')}"


@dataclass(frozen=True)
class Accepted:
    """The findings that are accepted, as pairs of slug and object. What is not found does not matter."""

    findings: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Accepted":
        """Return what texts like SLUG:OBJECT accept. Raises ValueError."""
        return cls(frozenset(map(parsed, texts)))

    def has(self, slug: str, object_: str) -> bool:
        """Return whether this finding is accepted."""
        return (slug, object_) in self.findings


NOTHING = Accepted()
