"""The glossary of a page: what docs/glossary.md says of the words that the page uses."""

import re
from functools import cache
from itertools import pairwise

from markupsafe import Markup

from aoc_migrate import packaged_folder
from aoc_migrate.report.page.prose import inline


@cache
def _glossary() -> dict[str, Markup]:
    page = (packaged_folder("docs") / "glossary.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| (?!word |---)(.+?) \| (.+) \|$", page)
    return {words: inline(meaning) for words, meaning in rows}


def glossary(text: str) -> dict[str, Markup]:
    """Return the words of the glossary that ``text`` uses, in alphabetical order, with their meanings."""
    words = re.findall(r"\w+", text.lower())
    used = {*words, *map(" ".join, pairwise(words))}
    return {
        terms: meaning
        for terms, meaning in sorted(_glossary().items(), key=lambda item: item[0].lower())
        if any({term, f"{term}s"} & used for term in terms.lower().split(", "))
    }
