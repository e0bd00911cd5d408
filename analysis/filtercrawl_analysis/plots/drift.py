"""Drift as heat maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.plots.theme import label, muted, text_on

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Cells of larger maps have no room for numbers, and rows of still larger ones none for names.
NUMBERED = 14


def heat_map(canvas: Figure, drift: Array, names: Sequence[str], models: Sequence[int], column: str) -> None:
    """Draw the drift between all pairs, [groups, groups]; models: of each group, beside its name."""
    axes = canvas.add_subplot()
    image = axes.imshow(drift, vmin=0)
    ticks = [f"{label(name, 24)} ({count})" for name, count in zip(names, models, strict=True)]
    axes.set_xticks(range(len(names)), ticks, rotation=90)
    axes.set_yticks(range(len(names)), ticks)
    axes.set_xlabel(f"{column.replace('_', ' ')} (models)")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    canvas.colorbar(image, ax=axes, label="drift D", shrink=0.8)
    if len(names) <= NUMBERED:
        for (row, place), value in np.ndenumerate(drift):
            if row != place and np.isfinite(value):
                colour = text_on(image.to_rgba(np.array([value]))[0])
                axes.text(place, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)


def intervals(canvas: Figure, pairs: Sequence[dict[str, Any]]) -> None:
    """Draw pairs of groups as intervals beside the drift that chance makes; rows as of the table."""
    axes = canvas.add_subplot()
    for place, pair in enumerate(pairs):
        axes.barh(place, pair["null_high"], height=0.8, color=muted(), alpha=0.4, label="chance")
        if pair["low"] is not None:
            axes.plot([pair["low"], pair["high"]], [place, place], color="C0", label="95 % interval")
        axes.plot([pair["drift"]], [place], "o", color="C1", label="drift")
    names = [f"{label(pair['group_a'], 20)} | {label(pair['group_b'], 20)}" for pair in pairs]
    axes.set_yticks(range(len(pairs)), names)
    axes.set_ylim(len(pairs) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel("drift D")
    handles, texts = axes.get_legend_handles_labels()
    unique = dict(zip(texts, handles, strict=True))
    axes.legend(unique.values(), unique.keys(), loc="best")
