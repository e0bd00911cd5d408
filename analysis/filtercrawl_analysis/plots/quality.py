"""Quality of layers drawn: entropy against size, profiles along the depth, and mosaics of kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.ticker import StrMethodFormatter

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.plots.theme import diverging, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Markers differ in shape too, for those who do not see the colours.
_MARKS: Final = {
    "ok": ("o", "C0"),
    "random": ("^", "C1"),
    "repeated": ("s", "C3"),
    "dead": ("X", "C5"),
    None: (".", "C6"),
}
_TOLD: Final = "too few kernels to tell"


def entropy_scatter(
    canvas: Figure,
    kernels: Array,
    entropy: Array,
    verdicts: Sequence[str | None],
    curves: dict[str, tuple[Array, Array]],
    top: float,
) -> None:
    """Draw entropy against kernels a layer; curves: name -> (kernels, entropy); top: the largest possible entropy."""
    axes = canvas.add_subplot()
    said = np.array([v or "" for v in verdicts])
    for verdict, (mark, colour) in _MARKS.items():
        here = said == (verdict or "")
        if here.any():
            text = f"{verdict or _TOLD} ({int(here.sum())})"
            axes.scatter(kernels[here], entropy[here], s=14, marker=mark, color=colour, alpha=0.6, lw=0, label=text)
    for (name, (x, y)), style in zip(curves.items(), ("--", "-", ":"), strict=False):
        axes.plot(x, y, style, color="C6", lw=1, label=name)
    axes.axhline(top, color="C6", lw=0.5)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_ylim(-0.02 * top, 1.04 * top)
    axes.set_xlabel("kernels in the layer")
    axes.set_ylabel("variance entropy (base 10)")
    canvas.legend(loc="outside lower center", ncols=4, markerscale=1.4)


def depth_profiles(canvas: Figure, rows: Sequence[dict[str, Any]], numbers: Sequence[str]) -> None:
    """Draw the median and quartiles of each number by depth decile; rows: of `summarize_groups`, one kernel size."""
    axes: list[Axes] = list(canvas.subplots(len(numbers), 1, sharex=True, squeeze=False)[:, 0])
    for panel, number in zip(axes, numbers, strict=True):
        found = [row for row in rows if row[f"{number}_median"] is not None]
        place = np.array([int(row["group"]) for row in found])
        low, middle, high = (np.array([row[f"{number}_{q}"] for row in found]) for q in ("q1", "median", "q3"))
        panel.fill_between(place, low, high, alpha=0.25, lw=0, color="C0")
        panel.plot(place, middle, "o-", color="C0")
        panel.set_ylabel(number.replace("_", " "))
        panel.grid(visible=True, axis="y")
    axes[-1].set_xticks(range(10), [f"{i / 10:.1f}-{(i + 1) / 10:.1f}" for i in range(10)])
    axes[-1].set_xlabel("depth in the network")


def kernel_mosaics(canvas: Figure, layers: Sequence[tuple[str, tuple[int, ...], Array]], columns: int) -> None:
    """Draw kernels, a row a layer; layers: (what it is called, kernel size, kernels [k, taps] within [-1, 1])."""
    grid = canvas.subplots(len(layers), 1, squeeze=False)[:, 0]
    for axes, (name, size, kernels) in zip(grid, layers, strict=True):
        axes.imshow(
            _tiled(kernels[:columns], size, columns), cmap=diverging(), vmin=-1, vmax=1, interpolation="nearest"
        )
        axes.set_title(label(name, 70), loc="left", fontsize=8)
        axes.set_axis_off()


def _tiled(kernels: Array, size: tuple[int, ...], columns: int) -> Array:
    """One row of kernels, with gaps of one; [height, width], NaN in the gaps."""
    height, width = int(np.prod(size[:-1], dtype=np.int64)), size[-1]
    picture = np.full((height, columns * (width + 1) - 1), np.nan)
    for place, kernel in enumerate(kernels):
        start = place * (width + 1)
        picture[:, start : start + width] = kernel.reshape(height, width)
    return picture


_STYLES: Final = {"all": "o-", "first": "^-", "between": "s-", "last": "v-"}


def frequency_profile(canvas: Figure, rows: Sequence[dict[str, Any]]) -> None:
    """Draw the share of the energy at each frequency, a line a position; rows: of the table, one kernel size."""
    axes = canvas.add_subplot()
    for i, (position, style) in enumerate(_STYLES.items()):
        here = [row for row in rows if row["position"] == position]
        if here:
            text = f"{position} ({here[0]['layers']} layers)"
            axes.plot([r["frequency"] for r in here], [r["share"] for r in here], style, color=f"C{i}", label=text)
    noise = [row for row in rows if row["position"] == "all"]
    axes.plot(
        [r["frequency"] for r in noise], [r["share_of_noise"] for r in noise], "--", color="C6", label="random numbers"
    )
    axes.set_ylim(bottom=0)
    axes.set_xlabel("radial frequency, in units of the Nyquist frequency")
    axes.set_ylabel("share of the energy")
    axes.grid(visible=True)
    axes.legend()
