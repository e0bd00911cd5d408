"""Drift between groups: heat maps, and intervals beside D and its floor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.plots.theme import label, muted, text_on

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Groups up to which cells have room for numbers.
MAX_NUMBERED = 14


def heat_map(canvas: Figure, drift: Array, names: Sequence[str], models: Sequence[int], column: str) -> None:
    """Draw the drift between all pairs of groups.

    Args:
        canvas: An empty figure.
        drift: Drift [groups, groups].
        names: Name of each group.
        models: Number of models of each group, shown beside its name.
        column: The column that the groups are of.
    """
    axes = canvas.add_subplot()
    image = axes.imshow(drift, vmin=0)
    ticks = [f"{label(name, 24)} ({count})" for name, count in zip(names, models, strict=True)]
    axes.set_xticks(range(len(names)), ticks, rotation=90)
    axes.set_yticks(range(len(names)), ticks)
    axes.set_xlabel(f"{column.replace('_', ' ')} (models)")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    canvas.colorbar(image, ax=axes, label="drift D", shrink=0.8)
    if len(names) <= MAX_NUMBERED:
        for (row, column_index), value in np.ndenumerate(drift):
            if row != column_index and np.isfinite(value):
                color = text_on(image.to_rgba(np.array([value]))[0])
                axes.text(column_index, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=color)


def intervals(canvas: Figure, pairs: Sequence[dict[str, Any]]) -> None:
    """Draw the estimated drift of pairs of groups, rows of the drift table, with its interval, D and its floor."""
    axes = canvas.add_subplot()
    for position, pair in enumerate(pairs):
        axes.barh(position, pair["floor"], height=0.8, color=muted(), alpha=0.4, label="floor of D")
    names = [f"{label(pair['group_a'], 20)} | {label(pair['group_b'], 20)}" for pair in pairs]
    draw_estimates(canvas, axes, pairs, names)


def draw_estimates(canvas: Figure, axes: Axes, rows: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    """Draw D, the estimated drift and its interval, one line a row, with a legend below.

    Args:
        canvas: The figure.
        axes: Its axes.
        rows: Rows of a table of drift.
        names: What each row is about.
    """
    for position, row in enumerate(rows):
        differs = row["verdict"] == "differs"
        axes.plot(row["drift"], position, "o", color="C1", fillstyle="none", label="D")
        axes.plot([row["low"], row["high"]], [position, position], color="C0", label="95 % interval")
        axes.plot(
            row["estimate"],
            position,
            "D",
            color="C0",
            markersize=5,
            fillstyle="full" if differs else "none",
            label="estimate, differs" if differs else "estimate, no difference found or too little to tell",
        )
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel("drift")
    handles, texts = axes.get_legend_handles_labels()
    unique = dict(zip(texts, handles, strict=True))
    canvas.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=2)
