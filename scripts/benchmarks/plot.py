"""The picture of the growth."""

from pathlib import Path
from typing import Any

from scripts.benchmarks.growth import FAR, VERBS, extended


def draw(found: list[dict[str, Any]], path: Path) -> None:
    """Write seconds by rows as SVG, both axes logarithmic; estimates are dotted."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    mpl.rcParams |= {"svg.hashsalt": "aoc-migrate", "svg.fonttype": "none", "font.family": "sans-serif"}
    figure, axes = pyplot.subplots(figsize=(7, 4.2))
    rows = [size["rows"] for size in found]
    for verb, color in zip(VERBS, ("#1b7a5a", "#1f5fa8", "#b3541e"), strict=True):
        axes.plot(rows, [size[verb] for size in found], color=color, marker="o", label=verb)
        far = extended(found, verb)
        axes.plot([rows[-1], FAR], [found[-1][verb], far], color=color, linestyle=":", marker="o", markevery=[1])
    axes.set(xscale="log", yscale="log", xlabel="rows (dotted: extended, not measured)", ylabel="seconds")
    axes.grid(which="major", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)
