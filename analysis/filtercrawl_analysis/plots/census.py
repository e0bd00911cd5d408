"""Stacked bars of kernel sizes by group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.plots.names import labels
from filtercrawl_analysis.plots.theme import SMALL, paper

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Distinguishable without colors.
_HATCHES = ("", "//", "++", "\\\\", "xx", "--", "")


def stacked_bars(canvas: Figure, counts: Array, sizes: Sequence[str], groups: Sequence[str]) -> None:
    """Draw one bar per group, divided by kernel size.

    Args:
        canvas: An empty figure.
        counts: Layers [sizes, groups].
        sizes: Names of the kernel sizes.
        groups: Names of the groups.
    """
    axes = canvas.add_subplot()
    totals = counts.sum(0)
    shares = counts / np.maximum(totals, 1)
    left = np.zeros(len(groups))
    positions = np.arange(len(groups))
    for i, (size, share) in enumerate(zip(sizes, shares, strict=True)):
        if share.any():
            axes.barh(
                positions,
                share,
                left=left,
                color=f"C{i}",
                hatch=_HATCHES[i % len(_HATCHES)],
                edgecolor=paper(),
                label=size,
            )
            left += share
    for position, total in enumerate(totals):
        axes.text(1.01, position, f"{int(total):,}", va="center", fontsize=SMALL)
    axes.set_yticks(positions, labels(groups, 20))
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of layers")
    canvas.legend(loc="outside upper center", ncols=4, title="kernel size")
