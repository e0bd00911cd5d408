"""Values of CNN Filter DB beside those of the dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter, StrMethodFormatter

from filtercrawl_analysis.plots.names import label, labels
from filtercrawl_analysis.plots.theme import MAX_MARKS, SMALL, muted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = dict[str, Any]

PAPER: Final = "CNN Filter DB"
# Markers also differ in shape, for readers who do not see the colors.
_MARKERS: Final = "o^sDPX"
# Models that are named, those that lie farthest from the others: at least so far from the median model and from each
# other, as shares of the axes.
_MAX_NAMED: Final = 6
_APART: Final = (0.15, 0.08)
# Smallest drift on logarithmic axes: the resolution of the published figure.
_LEAST: Final = 0.004


def explained_variance_bars(canvas: Figure, rows: Sequence[Row]) -> None:
    """Draw the explained variance of each component with its interval, and the published one as a mark.

    Args:
        canvas: An empty figure.
        rows: Rows of the table of published values that are of explained variance.
    """
    axes = canvas.add_subplot()
    at = [row["component"] for row in rows]
    axes.bar(at, [row["ours"] for row in rows], color="C0", alpha=0.65, width=0.7, label="this dataset")
    for row in rows:
        if row["low"] is not None:
            axes.plot([row["component"]] * 2, [row["low"], row["high"]], color="C0", lw=2)
    axes.plot(at, [row["published"] for row in rows], "D", color="C1", ms=6, label=PAPER)
    axes.set_xticks(at, [f"c{component}" for component in at])
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_ylabel("share of the variance")
    axes.grid(visible=True, axis="y")
    canvas.legend(loc="outside lower center", ncols=2)


def drift_scatters(canvas: Figure, panels: Sequence[tuple[str, Sequence[Row]]]) -> None:
    """Draw the drift of pairs of groups over the published one, one panel a column.

    Args:
        canvas: An empty figure.
        panels: Column in words, and its rows of the table of published values.
    """
    grid = canvas.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    every = [row[name] for _, rows in panels for row in rows for name in ("published", "ours", "ours_floor")]
    low, high = _LEAST, 1.3 * max(every)
    for axes, (name, rows) in zip(grid, panels, strict=True):
        axes.plot([low, high], [low, high], color=muted(), lw=0.8, label="equal")
        x = [max(row["published"], low) for row in rows]
        axes.plot(x, [max(row["ours_floor"], low) for row in rows], "_", color=muted(), ms=7, label="floor of D here")
        axes.errorbar(
            x,
            [max(row["ours"], low) for row in rows],
            xerr=[min(row["tolerance"], 0.9 * at) for row, at in zip(rows, x, strict=True)],
            fmt="o",
            color="C0",
            ms=4,
            lw=0.8,
            label="pair of groups",
        )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_aspect("equal")
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.set_title(name, fontsize=SMALL)
        axes.set_xlabel(f"D, {PAPER}")
        axes.grid(visible=True)
    grid[0].set_ylabel("D, this dataset")
    canvas.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)


def entropy_over_sparsity(canvas: Figure, rows: Sequence[Row], sparsity: float, entropy: float, top: float) -> None:
    """Draw models by the means over their layers of sparsity and variance entropy, beside the published thresholds.

    Args:
        canvas: An empty figure.
        rows: `model_id`, `family`, `sparsity` and `variance_entropy` of each model.
        sparsity: Layers are degenerate from this sparsity on,
        entropy: if their entropy is below this.
        top: The largest possible entropy.
    """
    axes = canvas.add_subplot()
    counts = Counter(row["family"] for row in rows if row["family"] is not None)
    named = [name for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count > 1]
    named = named[: len(_MARKERS)]
    groups = [
        (row for row in rows if row["family"] not in named),
        *((r for r in rows if r["family"] == f) for f in named),
    ]
    for i, of_group in enumerate(groups):
        members = list(of_group)
        mark, color = (".", muted()) if i == 0 else (_MARKERS[i - 1], f"C{i - 1}")
        name = label(named[i - 1], 18) if i else "others" if named else "models"
        text = f"{name} ({len(members)})"
        x, y = [row["sparsity"] for row in members], [row["variance_entropy"] for row in members]
        if members:
            axes.plot(x, y, mark, color=color, mew=0, ms=6, alpha=0.8, label=text, rasterized=len(rows) > MAX_MARKS)
    right = max(0.2, 1.1 * max((row["sparsity"] for row in rows), default=0.0))
    box = Rectangle((sparsity, 0), right - sparsity, entropy, facecolor="none", edgecolor="C1", hatch="//", lw=1)
    axes.add_patch(box)
    box.set_label("degenerate layers in the paper")
    axes.axhline(top, color=muted(), lw=0.8)
    axes.set_xlim(-0.01 * right, right)
    axes.set_ylim(0, 1.04 * top)
    _number_models(axes, models_to_name(rows, (right, top)))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("sparsity, mean over layers")
    axes.set_ylabel("variance entropy (base 10), mean over layers")
    axes.grid(visible=True)
    canvas.legend(loc="outside lower center", ncols=2)


def models_to_name(rows: Sequence[Row], extent: tuple[float, float]) -> list[Row]:
    """Return the models that lie farthest from the median one, the farthest first.

    Args:
        rows: `sparsity` and `variance_entropy` of each model.
        extent: Lengths of the two axes.
    """
    if not rows:
        return []
    points = np.array([[row["sparsity"], row["variance_entropy"]] for row in rows]) / extent
    distances = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    chosen: list[int] = []
    for i in np.argsort(-distances, kind="stable"):
        from_others = np.linalg.norm(points[chosen] - points[i], axis=1)
        if len(chosen) < _MAX_NAMED and distances[i] >= _APART[0] and np.all(from_others >= _APART[1]):
            chosen.append(int(i))
    return [rows[i] for i in chosen]


def _number_models(axes: Axes, rows: Sequence[Row]) -> None:
    """Put a number beside the mark of each model, and its name into the legend."""
    for number, (row, name) in enumerate(zip(rows, labels([row["model_id"] for row in rows], 26), strict=True), 1):
        at = row["sparsity"], row["variance_entropy"]
        axes.annotate(str(number), at, (4, 3), textcoords="offset points", fontsize=SMALL, annotation_clip=True)
        axes.plot([], [], ls="", label=f"{number}  {name}")
