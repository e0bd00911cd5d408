"""Principal components as images, of all kernels and of groups, and the shares of the variance along them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.plots.names import labels
from filtercrawl_analysis.plots.theme import SMALL, diverging, group_colors, ink, muted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = dict[str, Any]

# Components shown of all kernels, and in a row of pictures; those of groups.
MAX_COMPONENTS: Final = 25
PER_ROW: Final = 5
MAX_GROUP_COMPONENTS: Final = 9
# Distance of rows over that of columns.
_ROW_ASPECT: Final = 1.45
# Components whose shares are shown by group.
_PANELS: Final = 4
_TOLD: Final = ("higher", "lower")


@dataclass(frozen=True, kw_only=True)
class ComponentRow:
    """The principal components of one set of kernels.

    Attributes:
        name: Whose they are.
        vectors: Components as rows [components, taps].
        shares: Share of the variance along each [components].
        low: Lower ends of the intervals of the shares; None with too few models.
        high: Upper ends.
        runs: Runs of two components or more that are not told apart, so that their directions are not determined.
    """

    name: str
    vectors: Array
    shares: Sequence[float]
    low: Sequence[float] | None
    high: Sequence[float] | None
    runs: Sequence[Sequence[int]] = ()


def eigenkernels(canvas: Figure, row: ComponentRow, size: tuple[int, ...]) -> None:
    """Draw the principal components of all kernels with their shares of the variance.

    Components that are not told apart have a line below them, which goes from one to the next.

    Args:
        canvas: An empty figure.
        row: The components.
        size: The kernel size.
    """
    shown = min(len(row.vectors), MAX_COMPONENTS)
    columns = min(shown, PER_ROW)
    grid = canvas.subplots(-(-shown // columns), columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    joined = {component: run for run in row.runs for component in run}
    for component, axes in enumerate(grid[:shown]):
        _picture(axes, row.vectors[component], size)
        interval = ""
        if row.low is not None and row.high is not None:
            interval = f"\n{row.low[component]:.0%} to {row.high[component]:.0%}"
        axes.set_title(f"c{component}: {row.shares[component]:.1%}{interval}", fontsize=SMALL)
        if run := joined.get(component):
            left = -0.08 if component > run[0] and component % columns else 0.0
            right = 1.08 if component < run[-1] and component % columns < columns - 1 else 1.0
            axes.plot([left, right], [-0.08] * 2, color="C1", lw=2.5, transform=axes.transAxes, clip_on=False)
    if any(component < shown for component in joined):
        grid[0].plot([], [], color="C1", lw=2.5, label="not told apart: directions are not determined")
        canvas.legend(loc="outside lower center")


def group_eigenkernels(canvas: Figure, rows: Sequence[ComponentRow], size: tuple[int, ...]) -> None:
    """Draw the principal components of groups, one row each, with their shares of the variance below them."""
    canvas.set_layout_engine("compressed")  # leaves no gaps around axes with a fixed aspect
    axes = canvas.add_subplot()
    shown = min(len(rows[0].vectors), MAX_GROUP_COMPONENTS)
    height, width = int(np.prod(size[:-1], dtype=np.int64)), size[-1]
    pitch = max(height, width) + max(1, round(max(height, width) / 3))
    pixel = 1 / pitch
    below = height * pixel / _ROW_ASPECT / 2  # where pictures end and shares begin
    for line, row in enumerate(rows):
        strip = np.full((height, shown * pitch - (pitch - width)), np.nan)
        for component in range(shown):
            vector = row.vectors[component]
            start = component * pitch
            strip[:, start : start + width] = (vector / np.abs(vector).max()).reshape(height, width)
            place = (component, line + below + 0.07)
            axes.text(*place, f"{row.shares[component]:.0%}", ha="center", va="top", fontsize=SMALL)
        left = -width * pixel / 2
        extent = (left, left + strip.shape[1] * pixel, line + below, line - below)
        axes.imshow(strip, extent=extent, cmap=diverging(), vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
        for run in row.runs:
            seen = [component for component in run if component < shown]
            if len(seen) > 1:
                axes.plot([seen[0] - 0.36, seen[-1] + 0.36], [line + below + 0.05] * 2, color="C1", lw=1.8)
    axes.set_xlim(-0.5, shown - 0.5)
    axes.set_ylim(len(rows) - 1 + below + 0.45, -0.4)
    axes.set_aspect(_ROW_ASPECT)
    axes.set_xticks(range(shown), [f"c{component}" for component in range(shown)])
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(rows)), labels([row.name for row in rows], 20))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    if any(row.runs for row in rows):
        axes.plot([], [], color="C1", lw=1.8, label="not told apart: directions are not determined")
        canvas.legend(loc="outside lower center")


def variance_shares(canvas: Figure, overall: ComponentRow, rows: Sequence[Row], *, ordered: bool) -> None:
    """Draw the shares of the variance of groups with their intervals, one panel a component.

    Args:
        canvas: An empty figure.
        overall: The components of all kernels.
        rows: Rows of the table of explained variance.
        ordered: Whether the groups have a natural order.
    """
    groups = list(dict.fromkeys(row["group"] for row in rows))
    models = {row["group"]: row["models"] for row in rows}
    colors = dict(zip(groups, group_colors(len(groups), ordered=ordered), strict=True))
    shown = min(_PANELS, len(overall.shares))
    panels = canvas.subplots(-(-shown // 2), 2, sharey=True, squeeze=False).ravel()
    for component, axes in enumerate(panels[:shown]):
        if overall.low is not None and overall.high is not None:
            axes.axvspan(overall.low[component], overall.high[component], color=muted(), alpha=0.2, lw=0)
        axes.axvline(overall.shares[component], color=muted(), lw=1, label="all kernels, with interval")
        for row in (row for row in rows if row["component"] == component):
            at, color = groups.index(row["group"]), colors[row["group"]]
            if row["low"] is not None:
                axes.plot([row["low"], row["high"]], [at, at], color=color)
            style = "full" if row["verdict"] in _TOLD else "none"
            axes.plot(row["explained_variance"], at, "o", color=color, fillstyle=style, ms=5)
        axes.set_title(f"c{component}", fontsize=SMALL)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.grid(visible=True, axis="x")
    for axes in panels[shown:]:
        axes.set_axis_off()
    names = [f"{name} ({models[group]})" for name, group in zip(labels(groups, 18), groups, strict=True)]
    panels[0].set_yticks(range(len(groups)), names)
    panels[0].set_ylim(len(groups) - 0.4, -0.6)
    for style, text in (("full", "told apart from other layers"), ("none", "not told apart")):
        panels[0].plot([], [], "o", color=ink(), fillstyle=style, ms=5, label=text)
    canvas.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)


def _picture(axes: Axes, vector: Array, size: tuple[int, ...]) -> None:
    image = vector.reshape(int(np.prod(size[:-1], dtype=np.int64)), size[-1])
    top = np.abs(vector).max()
    axes.imshow(image, cmap=diverging(), vmin=-top, vmax=top, interpolation="nearest")
