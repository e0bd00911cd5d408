"""Shares drawn as stacked bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.plots.theme import label, paper

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Told apart without colours too.
_HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----", "")


def stacked_bars(canvas: Figure, counts: Array, sizes: Sequence[str], groups: Sequence[str]) -> None:
    """Draw a bar a group, parted by kernel size; counts: [sizes, groups]."""
    axes = canvas.add_subplot()
    totals = counts.sum(0)
    shares = counts / np.maximum(totals, 1)
    left = np.zeros(len(groups))
    place = np.arange(len(groups))
    for i, (size, share) in enumerate(zip(sizes, shares, strict=True)):
        if share.any():
            axes.barh(
                place, share, left=left, color=f"C{i}", hatch=_HATCHES[i % len(_HATCHES)], edgecolor=paper(), label=size
            )
            left += share
    for at, total in enumerate(totals):
        axes.text(1.01, at, f"{int(total):,}", va="center", fontsize=8)
    axes.set_yticks(place, [label(group, 28) for group in groups])
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of layers")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, title="kernel size")
