"""A picture of a terminal as SVG: what commands really printed, in the colors that they printed it in.

It loads nothing: the fonts are the reader's own. The text is in it twice, the second time as its description, for
readers who cannot see it and for `scripts/picture --check`.
"""

import html
import re
from io import StringIO

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

WIDTH = 80
_PROMPT = "$ "
_GROUND, _INK = (13, 17, 23), (230, 237, 243)
_NORMAL = "484f58 ff7b72 3fb950 d29922 58a6ff bc8cff 39c5cf b1bac4"
_BRIGHT = "6e7681 ffa198 56d364 e3b341 79c0ff d2a8ff 56d4dd f0f6fc"
_FORMAT = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">
<title>DESCRIBED</title>
<desc xml:space="preserve">PRINTED</desc>
<style>
.{unique_id}-matrix {{
  font: {char_height}px/{line_height}px
    ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
}}
.{unique_id}-title {{ font: bold 18px system-ui, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def shown(command: str, printed: str, most: int) -> Text:
    """Return a command and the first lines of what it printed, with the number of those that are left out."""
    lines = printed.replace("\r\n", "\n").rstrip("\n").split("\n")
    text = Text.assemble((_PROMPT, "bold green"), (command, "bold"), "\n")
    text.append_text(Text.from_ansi("\n".join(lines[:most])))
    if len(lines) > most:
        text.append(f"\n  … {len(lines) - most} more lines", "dim")
    return text.append("\n")


def drawn(scenes: list[Text], title: str) -> str:
    """Return the picture of all scenes, one below the other, with a title."""
    console = Console(record=True, width=WIDTH, file=StringIO(), color_system="truecolor", force_terminal=True)
    screen = Text("\n").join(scenes)
    console.print(screen, soft_wrap=False, highlight=False, end="")
    described = html.escape(title, quote=False)
    printed = html.escape(screen.plain, quote=False)
    svg = console.export_svg(
        title=title,
        theme=TerminalTheme(_GROUND, _INK, _colors(_NORMAL), _colors(_BRIGHT)),
        code_format=_FORMAT,
        unique_id="terminal",
    )
    return svg.replace("DESCRIBED", described, 1).replace("PRINTED", printed, 1)


def _colors(codes: str) -> list[tuple[int, int, int]]:
    return [(red, green, blue) for red, green, blue in map(bytes.fromhex, codes.split())]


def text_of(svg: str) -> str:
    """Return the text that a picture shows."""
    found = re.search(r"(?s)<desc[^>]*>(.*?)</desc>", svg)
    return html.unescape(found[1]) if found else ""


def masked(text: str) -> str:
    """Return a text without what differs between two runs: figures, their units, and the widths of columns."""
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:]{8}Z", "#", text)
    text = re.sub(r"\d[\d,.]*( ?(ms|s|min|bytes|kB|MB))?\b", "#", text)
    return re.sub(r"[ \n─-╿]+", " ", text)
