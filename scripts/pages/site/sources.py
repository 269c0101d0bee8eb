"""The pages of the site in one folder, as Sphinx reads them.

They are README.md, docs/README.md and the pages that docs/README.md lists, with the files that they link to, all
where they are in the checkout. The README of a folder is its index. Sphinx reports a link to anything else.
"""

import posixpath
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from scripts.pages.site.drawing import drawn

START = "README.md"
LIST = "docs/README.md"
CLI = "docs/cli.md"
ROW = re.compile(r"(?m)^\| \[([^\]]+)\]\(([^)#]+\.md)\)")
"""A row of docs/README.md: what to call a page, and its path."""
LINK = re.compile(r"\[([^\[\]]*)\]\(([^)\s#:]*)(#[^)\s]*)?\)")
"""A link within the checkout: its words, path and anchor."""
PATH = re.compile(r"[\w./-]*(?:\.md|/)")
"""Words of a link that only repeat its path."""


def assemble(root: Path, source: Path) -> None:
    """Write the pages of a checkout, and the files that they link to, into a new folder."""
    sections = listed(root)
    labels = {LIST: "All pages"} | {path: label for pages in sections.values() for path, label in pages.items()}
    in_docs = sorted(f"docs/{path.name}" for path in (root / "docs").glob("*.md"))
    texts = {
        path: (root / path).read_text(encoding="utf-8")
        for path in dict.fromkeys((START, *labels, *in_docs))  # Sphinx reports a page of docs/ that is not listed,
        if (root / path).is_file()  # and one that is listed and missing
    }
    for file in {file for path, text in texts.items() for file in files(root, path, text)}:
        shutil.copyfile(root / file, placed(source / file))
    commands = split(texts)
    texts[START] += toctree({START: "Overview and quick start", LIST: labels[LIST]})
    texts[START] += "".join(toctree(pages, caption) for caption, pages in sections.items())
    for path, text in texts.items():
        placed(source / as_index(path)).write_text(page(path, text, labels, commands), encoding="utf-8")


def listed(root: Path) -> dict[str, dict[str, str]]:
    """Return the pages that docs/README.md lists: under each of its headings, paths and what to call them."""
    _, *parts = re.split(r"(?m)^## ", (root / LIST).read_text(encoding="utf-8"))
    return {
        part.partition("\n")[0]: {leads(LIST, path): label for label, path in ROW.findall(part)} for part in parts
    }


def leads(path: str, target: str) -> str:
    """Return the path in the checkout to which a link of a page leads."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), target)) if target else path


def files(root: Path, path: str, text: str) -> Iterator[str]:
    """Yield the files that a page links to, other than pages."""
    for _, target, _ in LINK.findall(text):
        file = leads(path, target)
        if not file.endswith(".md") and (root / file).is_file():
            yield file


def placed(path: Path) -> Path:
    """Return the path of a file, whose folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def split(texts: dict[str, str]) -> dict[str, str]:
    """Give each command of docs/cli.md, with its subcommands, its own page; return the page of each anchor."""
    if CLI not in texts:
        return {}
    before, _, after = texts[CLI].partition("<!-- end -->\n")
    head, *sections = re.split(r"(?m)^### (?=aoc-migrate \w)", before)
    homes: dict[str, str] = {}
    for section in sections:
        title = section.partition("\n")[0]
        home = f"docs/cli/{title.split()[1]}.md"
        texts[home] = texts[home] + f"## {section}" if home in texts else f"# {section}"
        homes["#" + title.replace(" ", "-")] = home
    texts[CLI] = head + after + toctree({home: Path(home).stem for home in homes.values()})
    return homes


def toctree(pages: Mapping[str, str], caption: str = "") -> str:
    """Return the part of a page that puts other pages into the navigation."""
    lines = [
        f"{label} <{'self' if path == START else f'/{as_index(path)[:-3]}'}>" for path, label in pages.items()
    ]
    return "\n".join(
        ["", "```{toctree}", ":hidden:", f":caption: {caption}" if caption else "", *lines, "```", ""]
    )


def as_index(path: str) -> str:
    """Return a path with README.md as the index of its folder."""
    return re.sub(r"(^|/)README\.md$", r"\1index.md", path)


def page(path: str, text: str, labels: Mapping[str, str], commands: Mapping[str, str]) -> str:
    """Return a page as Sphinx reads it: its links lead to the pages of the site, and Mermaid is drawn."""

    def link(found: re.Match[str]) -> str:
        words, target, anchor = found[1], found[2], found[3] or ""
        where = leads(path, target)
        if PATH.fullmatch(words):
            words = labels.get(where, words)
        if where == CLI and anchor in commands:
            target = posixpath.relpath(commands[anchor], posixpath.dirname(path) or ".")
        return f"[{words}]({as_index(target)}{anchor})"

    return re.sub(r"(?ms)^```mermaid\n(.*?)^```$", lambda found: drawn(found[1]), LINK.sub(link, text))
