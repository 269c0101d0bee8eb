"""Our own Markdown as HTML: paragraphs, lists, fenced code, code and emphasis."""

import re

from markupsafe import Markup, escape

_BLOCK = re.compile(r"(?ms)^```\w*\n(?P<code>.*?)^```$|^(?P<text>\S.*?)(?=\n\n|\n```|\Z)")
_INLINE = re.compile(r"`([^`]+)`|(?<!\w)\*([^*\s][^*]*)\*")


def markup(text: str) -> Markup:
    """Return a section of our pages as HTML."""
    return Markup("\n").join(
        Markup("<pre>{}</pre>").format(found["code"].rstrip("\n"))
        if found["code"] is not None
        else _text(found["text"])
        for found in _BLOCK.finditer(text)
    )


def _text(block: str) -> Markup:
    if block.startswith("|"):
        return Markup("<pre>{}</pre>").format(block)
    if block.startswith("- "):
        items = re.split(r"\n(?=- )", block)
        return Markup("<ul>{}</ul>").format(
            Markup("").join(Markup("<li>{}</li>").format(inline(i[2:])) for i in items)
        )
    return Markup("<p>{}</p>").format(inline(block))


def inline(text: str) -> Markup:
    """Return text with code and emphasis as HTML."""
    words, end = Markup(""), 0
    for found in _INLINE.finditer(text):
        tag = "code" if found[1] else "em"
        words += escape(text[end : found.start()]) + Markup(f"<{tag}>{{}}</{tag}>").format(found[1] or found[2])  # noqa: S704
        end = found.end()
    return words + escape(text[end:])
