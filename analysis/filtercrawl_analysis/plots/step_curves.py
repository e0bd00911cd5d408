"""Numbers of layers by training step: a panel a number, with the median and the quartiles of each run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import FuncFormatter

from filtercrawl_analysis.plots.names import label
from filtercrawl_analysis.plots.theme import start_at_zero

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = dict[str, Any]


def panel_rows(curves: Sequence[Row]) -> int:
    """Return the number of rows of panels, two a row."""
    return math.ceil(len({curve["column"] for curve in curves}) / 2)


def draw_step_curves(canvas: Figure, curves: Sequence[Row]) -> None:
    """Draw medians over layers by step, with a band from the first to the third quartile.

    Args:
        canvas: An empty figure.
        curves: `StepMedians` as dictionaries: of each column those of all runs.
    """
    columns = list(dict.fromkeys(curve["column"] for curve in curves))
    runs = list(dict.fromkeys(curve["run_id"] for curve in curves))
    grid = canvas.subplots(panel_rows(curves), 2, sharex=True, squeeze=False)
    for axes, column in zip(grid.flat, columns, strict=False):
        for curve in (curve for curve in curves if curve["column"] == column):
            color = f"C{runs.index(curve['run_id'])}"
            low, middle, high = curve["quartiles"]
            axes.plot(curve["steps"], middle, "o-", color=color, lw=1.6, markersize=3, label=label(curve["run_id"], 24))
            axes.fill_between(curve["steps"], low, high, color=color, alpha=0.15, lw=0)
        start_at_zero(axes)
        axes.set_ylabel(column.replace("_", " "))
    positive = [step for curve in curves for step in curve["steps"] if step > 0]
    for axes in grid.flat:
        axes.set_xscale("symlog", linthresh=min(positive, default=1))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.minorticks_off()
        axes.grid(visible=True)
    for axes in grid[-1]:
        axes.set_xlabel("training step")
    for axes in grid.flat[len(columns) :]:
        axes.set_visible(False)
        axes.set_in_layout(False)
    if len(columns) % 2 and len(grid) > 1:
        grid[-2, 1].tick_params(labelbottom=True)
        grid[-2, 1].set_xlabel("training step")
    if len(runs) > 1:
        handles, names = grid[0, 0].get_legend_handles_labels()
        canvas.legend(handles, names, loc="outside lower center", ncols=min(2, len(runs)))
