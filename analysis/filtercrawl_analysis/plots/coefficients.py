"""Distributions of the coefficients of kernels: ridges by group, and the plane of the first two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.plots.names import labels
from filtercrawl_analysis.plots.theme import SMALL, group_colors, ink, muted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

# Components shown, and panels in a row.
MAX_COMPONENTS: Final = 6
COLUMNS: Final = 3
# Points of a density that are drawn: ridges are narrow.
_POINTS: Final = 32
# Densities are drawn from this share of the largest on.
_SEEN: Final = 0.004
# Smallest part of the kernels that is left out of the plane at each end.
_TAIL: Final = 0.0005
# Colors start at this share of the largest cell.
_FAINTEST: Final = 1e-5


def ridges(canvas: Figure, rows: Sequence[dict[str, Any]], groups: Sequence[str], *, ordered: bool) -> None:
    """Draw densities of coefficients: one panel per component, and in it one ridge per group with its median.

    Args:
        canvas: An empty figure.
        rows: Rows of the table of ridges.
        groups: The groups, from top to bottom.
        ordered: Whether they have a natural order.
    """
    components = sorted({row["component"] for row in rows})[:MAX_COMPONENTS]
    colors = group_colors(len(groups), ordered=ordered)
    lines = -(-len(components) // COLUMNS)
    panels = canvas.subplots(lines, min(COLUMNS, len(components)), sharey=True, squeeze=False).ravel()
    for axes, component in zip(panels, components, strict=False):
        axes.axvline(0, color=muted(), lw=0.6)
        for line, group in enumerate(groups):
            of_ridge = [row for row in rows if row["component"] == component and row["group"] == group]
            if of_ridge:
                x, y = (np.array([row[name] for row in of_ridge]) for name in ("coefficient", "density"))
                seen = np.flatnonzero(y > _SEEN * y.max())
                shown = np.unique(np.linspace(seen[0], seen[-1], _POINTS).round().astype(int))
                ends = x[shown[[0, -1]]]
                axes.fill(
                    [ends[0], *x[shown], ends[1]],
                    line + 0.4 - 0.85 * np.array([0, *y[shown], 0]) / y.max(),
                    color=colors[line],
                    alpha=0.8,
                    lw=0,
                )
                middle = of_ridge[0]["median"]
                axes.plot([middle, middle], [line + 0.4, line - 0.4], color=ink(), lw=1.4)
        axes.set_title(f"c{component}", fontsize=SMALL)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(3))
    for axes in panels[len(components) :]:
        axes.set_axis_off()
    panels[0].set_yticks(range(len(groups)), labels(groups, 18))
    panels[0].set_ylim(len(groups) - 0.5, -0.6)
    panels[0].plot([], [], color=ink(), lw=1.4, label="median")
    canvas.legend(loc="outside lower center")


def phenotypes(canvas: Figure, counts: Array, bound: float, middle: tuple[float, float]) -> None:
    """Draw the plane of the first two coefficients of all kernels.

    Args:
        canvas: An empty figure.
        counts: Kernels of each cell [cells, cells].
        bound: Cells reach from -bound to bound.
        middle: Median of both coefficients.
    """
    axes = canvas.add_subplot()
    image = _plane(axes, counts, bound, middle)
    _zoom([axes], counts, bound)
    axes.set_xlabel("coefficient of c0")
    axes.set_ylabel("coefficient of c1")
    _color_bar(canvas, image, [axes])


def group_phenotypes(canvas: Figure, planes: Mapping[str, tuple[Array, tuple[float, float]]], bound: float) -> None:
    """Draw the plane of the first two coefficients, one panel per group, in the same range.

    Args:
        canvas: An empty figure.
        planes: Kernels of each cell [cells, cells], and the median of both coefficients, by group.
        bound: Cells reach from -bound to bound.
    """
    lines = -(-len(planes) // COLUMNS)
    grid = canvas.subplots(lines, COLUMNS, sharex=True, sharey=True, squeeze=False)
    panels = list(grid.ravel())
    images = [
        _plane(axes, counts / counts.sum(), bound, middle)
        for axes, (counts, middle) in zip(panels, planes.values(), strict=False)
    ]
    norm = LogNorm(1e-4, max(float((counts / counts.sum()).max()) for counts, _ in planes.values()))
    for axes, image, name in zip(panels, images, labels(list(planes), 18), strict=False):
        image.set_norm(norm)
        axes.set_title(name, fontsize=SMALL)
    every = np.sum([counts / counts.sum() for counts, _ in planes.values()], axis=0)
    _zoom(panels[: len(planes)], every, bound)
    for axes in panels[len(planes) :]:
        axes.set_axis_off()
    canvas.supxlabel("coefficient of c0", fontsize=10)
    canvas.supylabel("coefficient of c1", fontsize=10)


def _plane(axes: Axes, counts: Array, bound: float, middle: tuple[float, float]) -> AxesImage:
    peak = counts.max(initial=np.finfo(float).tiny)
    axes.set_facecolor("none")
    axes.axhline(0, color=muted(), lw=0.6)
    axes.axvline(0, color=muted(), lw=0.6)
    image = axes.imshow(
        np.where(counts > 0, counts, np.nan).T,
        norm=LogNorm(peak * _FAINTEST, peak),
        origin="lower",
        extent=(-bound, bound, -bound, bound),
        interpolation="nearest",
        zorder=2,
    )
    axes.plot(*middle, "+", color="C1", ms=9, mew=2, zorder=3)
    return image


def _zoom(panels: Sequence[Axes], counts: Array, bound: float) -> None:
    """Leave out the empty margin: all but one in a thousand kernels are seen along each axis."""
    edges = np.linspace(-bound, bound, len(counts) + 1)
    reach = 0.0
    for axis in (0, 1):
        cumulative = np.cumsum(counts.sum(axis)) / max(counts.sum(), np.finfo(float).tiny)
        inside = np.flatnonzero((cumulative > _TAIL) & (cumulative < 1 - _TAIL))
        if len(inside):
            reach = max(reach, -edges[inside[0]], edges[min(inside[-1] + 2, len(counts))])
    reach = min(reach or bound, bound)
    for axes in panels:
        axes.set_xlim(-reach, reach)
        axes.set_ylim(-reach, reach)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_locator(MaxNLocator(4))


def _color_bar(canvas: Figure, image: AxesImage, panels: Sequence[Axes]) -> None:
    bar = canvas.colorbar(image, ax=list(panels), label="kernels", location="top", aspect=40, pad=0.02)
    bar.ax.xaxis.set_major_locator(LogLocator(numticks=5))
    bar.ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    bar.ax.xaxis.set_minor_formatter(NullFormatter())
