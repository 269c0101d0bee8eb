"""A Mermaid flowchart as SVG, for the site, which runs no Mermaid: boxes in rows, with arrows down."""

import re
from statistics import mean

BOX = (160, 34)
STEP = (184, 70)
TIP = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0 0L8 4L0 8z"/></marker></defs>'
)
NODE = re.compile(r'(?m)^ *(\w+)\["(.+)"\]$')
ARROW = re.compile(r"(?m)^ *(\w+) (?:-->|-\. (\w+) \.->) (\w+)$")


def drawn(flowchart: str) -> str:
    """Return the picture, in the colors of the text around it."""
    names = dict(NODE.findall(flowchart))
    arrows = [(one, other, word) for one, word, other in ARROW.findall(flowchart)]
    at = places([*names], [(one, other) for one, other, _ in arrows])
    left, right = min(x for x, _ in at.values()), max(x for x, _ in at.values())
    wide, high = right - left + BOX[0] + 2, max(y for _, y in at.values()) + BOX[1] + 2
    return "\n".join(
        [
            f'<svg class="flowchart" role="img" aria-label="{", ".join(f"{a} to {b}" for a, b, _ in arrows)}"'
            f' viewBox="{left - BOX[0] / 2 - 1:g} -1 {wide:g} {high:g}" width="{wide:g}" height="{high:g}">',
            TIP,
            *(line(at[one], at[other], word) for one, other, word in arrows),
            *(box(at[name], label) for name, label in names.items()),
            "</svg>",
        ]
    )


def places(names: list[str], arrows: list[tuple[str, str]]) -> dict[str, tuple[float, float]]:
    """Return where each box is, the middle of its upper edge: below all that lead to it, and near them."""
    above = {name: [one for one, other in arrows if other == name] for name in names}

    def depth(name: str) -> int:
        return 1 + max(map(depth, above[name]), default=-1)

    row = {name: depth(name) for name in names}
    for name in names:
        below = [row[other] for one, other in arrows if one == name]
        if below and not above[name]:
            row[name] = min(below) - 1
    across: dict[str, float] = {}
    for number in sorted({*row.values()}):
        wanted = {name: mean([across[one] for one in above[name]] or [0]) for name in names if row[name] == number}
        start = mean(wanted.values()) - (len(wanted) - 1) / 2 * STEP[0]
        across |= {name: start + i * STEP[0] for i, name in enumerate(sorted(wanted, key=wanted.__getitem__))}
    return {name: (across[name], row[name] * STEP[1]) for name in names}


def line(start: tuple[float, float], end: tuple[float, float], word: str) -> str:
    """Return an arrow from one box to another; with a word, it is dotted."""
    (x1, y1), (x2, y2) = (start[0], start[1] + BOX[1]), end
    dots = ' stroke-dasharray="2 4"' if word else ""
    path = f'<path d="M{x1:g} {y1:g}L{x2:g} {y2:g}" stroke="currentColor"{dots} marker-end="url(#tip)"/>'
    return path + (f'<text x="{(x1 + x2) / 2 + 22:g}" y="{(y1 + y2) / 2 + 4:g}">{word}</text>' if word else "")


def box(place: tuple[float, float], label: str) -> str:
    """Return a box with its label."""
    (x, y), (wide, high) = place, BOX
    return (
        f'<rect x="{x - wide / 2:g}" y="{y:g}" width="{wide}" height="{high}" rx="4"/>'
        f'<text x="{x:g}" y="{y + high / 2 + 5:g}">{label}</text>'
    )
