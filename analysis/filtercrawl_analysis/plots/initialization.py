"""Moments of weights against those of initial distributions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from matplotlib.ticker import StrMethodFormatter

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.plots.theme import MAX_MARKS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Standard deviation over that of He normal (fan in), and excess kurtosis.
_DISTRIBUTIONS: Final = {
    "He normal": (1.0, 0.0),
    "He uniform": (1.0, -1.2),
    "torch default": (1 / math.sqrt(6), -1.2),
}


def weight_moments_scatter(canvas: Figure, ratio: Array, kurtosis: Array) -> None:
    """Draw layers by their standard deviation over He's and their excess kurtosis, [layers] each."""
    axes = canvas.add_subplot()
    axes.scatter(ratio, kurtosis, s=12, color="C0", alpha=0.5, lw=0, label="layers", rasterized=len(ratio) > MAX_MARKS)
    for i, (name, (x, y)) in enumerate(_DISTRIBUTIONS.items()):
        axes.plot([x], [y], "+x1"[i], color="C1", ms=11, mew=2, label=name, ls="none")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.set_yscale("symlog", linthresh=2)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.set_ylim(bottom=-3)
    axes.set_xlabel("standard deviation over He's")
    axes.set_ylabel("excess kurtosis")
    axes.grid(visible=True)
    axes.legend()
