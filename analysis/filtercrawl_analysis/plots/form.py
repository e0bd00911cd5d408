"""Forms of kernels: kernels beside their fits, shares of named forms, and histograms of angles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.ticker import PercentFormatter

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.plots.theme import SMALL, diverging, ink, muted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[dict[str, Any]]

_COLUMNS: Final = 3


def fits_beside_kernels(canvas: Figure, kernels: Array, fits: Array, titles: Sequence[str]) -> None:
    """Draw kernels in the upper row and the functions fitted to them below, in the same colors.

    Args:
        canvas: An empty figure.
        kernels: [n, height, width].
        fits: [n, height, width].
        titles: What is written above each kernel.
    """
    grid = canvas.subplots(2, len(kernels), squeeze=False)
    for column, (kernel, fit, title) in enumerate(zip(kernels, fits, titles, strict=True)):
        top = np.abs(kernel).max()
        for axes, image in zip(grid[:, column], (kernel, fit), strict=True):
            axes.imshow(image, cmap=diverging(), vmin=-top, vmax=top, interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
            for spine in axes.spines.values():
                spine.set_visible(False)
        grid[0, column].set_title(title, fontsize=SMALL)
    for axes, name in zip(grid[:, 0], ("kernel", "fit"), strict=True):
        axes.set_ylabel(name)


def share_bars(canvas: Figure, rows: Rows) -> None:
    """Draw the share of each form with its interval, and the share by chance, from rows of `form_shares`."""
    axes = canvas.add_subplot()
    y = np.arange(len(rows))[::-1]
    axes.barh(y, [row["share"] for row in rows], color="C0", alpha=0.65, height=0.62, label="share of kernels")
    for at, row in zip(y, rows, strict=True):
        if row["low"] is not None:
            axes.plot([row["low"], row["high"]], [at, at], color=ink(), lw=1.2)
    axes.plot(
        [row["chance"] for row in rows], y, "D", color="C1", mec=ink(), mew=0.5, ms=6, label="weights in random order"
    )
    axes.set_yticks(y, [row["form"] for row in rows])
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlim(left=0)
    axes.set_xlabel("mean over models")
    axes.grid(visible=True, axis="x")
    axes.tick_params(axis="y", length=0)
    canvas.legend(loc="outside upper center", ncols=2)


def shares_by_depth(canvas: Figure, rows: Rows) -> None:
    """Draw the share of each form by depth decile, one panel a form, from rows of `form_shares` of one kernel size."""
    forms = list(dict.fromkeys(row["form"] for row in rows))
    lines = math.ceil(len(forms) / _COLUMNS)
    grid = canvas.subplots(lines, _COLUMNS, sharex=True, sharey="row", squeeze=False)
    for axes, form in zip(grid.ravel(), forms, strict=False):
        _depth_panel(axes, [row for row in rows if row["form"] == form])
        axes.set_title(form, fontsize=SMALL)
    for axes in grid.ravel()[len(forms) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylim(bottom=0)
    canvas.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    canvas.supxlabel("depth in the network", fontsize=10)
    canvas.supylabel("share of kernels, mean over models", fontsize=10)


def _depth_panel(axes: Axes, rows: Rows) -> None:
    depth = [(int(row["group"]) + 0.5) / 10 for row in rows]
    axes.plot(depth, [row["share"] for row in rows], "o-", color="C0", label="kernels")
    axes.plot(depth, [row["chance"] for row in rows], "--", color="C1", label="random order")
    known = [(at, row) for at, row in zip(depth, rows, strict=True) if row["low"] is not None]
    if known:
        axes.fill_between(
            [at for at, _ in known],
            [row["low"] for _, row in known],
            [row["high"] for _, row in known],
            color="C0",
            alpha=0.2,
            lw=0,
        )
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlim(0, 1)
    axes.grid(visible=True, axis="y")


def angle_histograms(canvas: Figure, panels: Sequence[tuple[str, Rows]]) -> None:
    """Draw histograms of angles with intervals over models; the dashed line is that of equal cells.

    Args:
        canvas: An empty figure.
        panels: Label of the axis and rows of the histogram of each.
    """
    grid = canvas.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (name, rows) in zip(grid, panels, strict=True):
        middle = np.degrees([(row["start"] + row["stop"]) / 2 for row in rows])
        width = np.degrees(rows[0]["stop"] - rows[0]["start"])
        axes.bar(middle, [row["share"] for row in rows], width=0.86 * width, color="C0", alpha=0.65)
        for at, row in zip(middle, rows, strict=True):
            if row["low"] is not None:
                axes.plot([at, at], [row["low"], row["high"]], color=ink(), lw=1.2)
        axes.axhline(rows[0]["uniform"], ls="--", color=muted(), lw=1)
        axes.set_xticks(middle[::2], [f"{angle:g}°" for angle in middle[::2]])
        axes.set_xlabel(name)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    grid[0].set_ylabel("share of filters, mean over models")
