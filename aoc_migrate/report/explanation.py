"""The explanation of each finding: its section of docs/rules.md."""

import json
import re
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache

from aoc_migrate import packaged_folder
from aoc_migrate.report.messages import MESSAGES

_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")


@dataclass(frozen=True)
class Explanation:
    """What docs/rules.md says of a finding.

    ``code`` is StellaOps' violation code, ``exit_code`` is 0 unless the finding is an error, and ``group`` is the
    heading above the section, such as "Before: rows".
    """

    slug: str
    severity: str
    code: str | None
    exit_code: int
    group: str
    text: str


@cache
def explanations() -> dict[str, Explanation]:
    """Return the explanation of every finding, in the order of the page."""
    page = (packaged_folder("docs") / "rules.md").read_text(encoding="utf-8")
    found: dict[str, Explanation] = {}
    for part in re.split(r"(?m)^## ", page)[1:]:
        group, _, rest = part.partition("\n")
        for section in re.split(r"(?m)^### ", rest)[1:]:
            slug, _, text = section.partition("\n")
            message = MESSAGES[slug]
            exit_code = message.exit_code if message.severity == "error" else 0
            words = _LINK.sub(r"\1", text).strip()
            found[slug] = Explanation(slug, message.severity, message.code, exit_code, group, words)
    return found


def listing(known: Mapping[str, Explanation]) -> str:
    """Return all findings by group, with their severity and code."""
    width = max(map(len, known))
    groups: dict[str, list[str]] = {}
    for each in known.values():
        code = f", {each.code}" if each.code else ""
        groups.setdefault(each.group, []).append(f"  {each.slug.ljust(width)}  {each.severity}{code}")
    return "\n\n".join("\n".join([group, *lines]) for group, lines in groups.items())


def as_text(explanation: Explanation, width: int) -> str:
    """Return an explanation for a terminal: prose is wrapped to its width, what is to be typed is indented."""
    exit_code = f", exit code {explanation.exit_code}" if explanation.exit_code else ""
    code = f", {explanation.code}" if explanation.code else ""
    heading = f"{explanation.slug} ({explanation.severity}{code}{exit_code})"
    return "\n\n".join([heading, *(_block(block, width) for block in _blocks(explanation.text))])


def _blocks(text: str) -> list[str]:
    """Return the paragraphs, lists and fenced blocks of a text."""
    return re.findall(r"(?ms)^```.*?^```$|^\S.*?(?=\n\n|\n```|\Z)", text)


def _block(block: str, width: int) -> str:
    if block.startswith("```"):
        return textwrap.indent("\n".join(block.splitlines()[1:-1]), "    ")
    if block.startswith("|"):
        return block
    items = re.split(r"\n(?=- )", block)
    wrapped = (
        textwrap.wrap(item.replace("\n", " "), width, subsequent_indent="  " * item.startswith("- "))
        for item in items
    )
    return "\n".join(line for lines in wrapped for line in lines)


def as_json(explanations: list[Explanation]) -> str:
    """Return explanations as a JSON array of objects."""
    return json.dumps([asdict(each) for each in explanations], indent=2, ensure_ascii=False)
