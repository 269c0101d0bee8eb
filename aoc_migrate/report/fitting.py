"""Values and columns that fit: long ids are cut in the middle and stay distinct, columns share the width."""

from collections.abc import Sequence

from rich.cells import cell_len

GAP = 2
_LEAST = 10  # cells that a column of text keeps
ELLIPSIS = "…"


def shortened(values: Sequence[str], width: int) -> list[str]:
    """Return the values with the middle of those cut that are wider than ``width`` cells.

    Different values stay different if any place to cut allows it; the place nearest to the middle is preferred.
    """
    tails = sorted(range(1, max(2, width - 1)), key=lambda tail: abs(2 * tail - width))
    cuts = ({value: _cut(value, width, tail) for value in values} for tail in tails)
    first = next(cuts)
    distinct = first if _distinct(first) else next(filter(_distinct, cuts), first)
    return [distinct[value] for value in values]


def _distinct(cut: dict[str, str]) -> bool:
    return len({*cut.values()}) == len(cut)


def _cut(value: str, width: int, tail: int) -> str:
    """Return a value whose last ``tail`` cells follow an ellipsis, if it is wider than ``width`` cells."""
    if cell_len(value) <= width:
        return value
    return f"{_head(value, width - 1 - tail)}{ELLIPSIS}{_head(value[::-1], tail)[::-1]}"


def _head(text: str, cells: int) -> str:
    """Return the longest beginning that is at most ``cells`` wide."""
    end = max(0, cells)
    while cell_len(text[:end]) > cells:
        end -= 1
    return text[:end]


def column_widths(
    names: Sequence[str], columns: Sequence[Sequence[str]], fixed: Sequence[bool], room: int
) -> list[int] | None:
    """Return how wide each column is drawn, so that all of them fit into ``room`` cells; None if they cannot.

    The widest column gives way first, but no ``fixed`` one, and none below the longest word of its name.
    """
    room -= GAP * (len(names) - 1)
    widths, least = [], []
    for name, values, stays in zip(names, columns, fixed, strict=True):
        widest = max(map(cell_len, values), default=0)
        word = max(map(cell_len, name.split()), default=0)
        widths.append(min(max(cell_len(name), widest), max(room, 1)))
        least.append(max(word, widest if stays else min(widest, _LEAST)))
    if sum(least) > room:
        return None
    while sum(widths) > room:
        spare = [width - low for width, low in zip(widths, least, strict=True)]
        widest_column = max((n for n, more in enumerate(spare) if more > 0), key=lambda n: widths[n])
        widths[widest_column] -= 1
    return widths
