"""Estimates of drift with their intervals, beside D and its floor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from filtercrawl_analysis.plots.names import labels
from filtercrawl_analysis.plots.theme import muted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def intervals(canvas: Figure, pairs: Sequence[dict[str, Any]]) -> None:
    """Draw the estimated drift of pairs of groups, rows of the drift table, with its interval, D and its floor."""
    axes = canvas.add_subplot()
    for position, pair in enumerate(pairs):
        axes.barh(position, pair["floor"], height=0.8, color=muted(), alpha=0.4, label="floor of D")
    groups = list(dict.fromkeys(pair[side] for pair in pairs for side in ("group_a", "group_b")))
    short = dict(zip(groups, labels(groups, 14), strict=True))
    names = [f"{short[pair['group_a']]} | {short[pair['group_b']]}" for pair in pairs]
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
            label="estimate, differs" if differs else "estimate, not told apart",
        )
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel("drift")
    handles, texts = axes.get_legend_handles_labels()
    unique = dict(zip(texts, handles, strict=True))
    canvas.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=2)
