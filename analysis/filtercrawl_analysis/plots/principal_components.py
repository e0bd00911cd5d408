"""Principal components as images, and densities of coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.colors import LogNorm

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.plots.names import label
from filtercrawl_analysis.plots.theme import diverging

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Components shown, and per row.
MAX_COMPONENTS: Final = 27
PER_ROW: Final = 9
# Height of a ridge in units of the distance between ridges.
OVERLAP: Final = 1.5


def eigenkernels(canvas: Figure, rows: Array, shares: Array, intervals: Array | None, size: tuple[int, ...]) -> None:
    """Draw principal components as images with their shares of the variance.

    Args:
        canvas: An empty figure.
        rows: Components [components, taps].
        shares: Share of the variance of each [components].
        intervals: Lower and upper ends of the intervals of the shares [2, components]; None without intervals.
        size: The kernel size.
    """
    shown = min(len(rows), MAX_COMPONENTS)
    lines = -(-shown // PER_ROW)
    grid = canvas.subplots(lines, min(shown, PER_ROW), squeeze=False).ravel()
    picture = (int(np.prod(size[:-1], dtype=np.int64)), size[-1])
    for axes in grid:
        axes.set_axis_off()
    for component, (axes, row) in enumerate(zip(grid, rows[:shown], strict=False)):
        top = np.abs(row).max()
        axes.imshow(row.reshape(picture), cmap=diverging(), vmin=-top, vmax=top, interpolation="nearest")
        interval = "" if intervals is None else "\n{:.0%} to {:.0%}".format(*intervals[:, component])
        axes.set_title(f"c{component}: {shares[component]:.1%}{interval}", fontsize=7)


def ridges(canvas: Figure, rows: Sequence[dict[str, Any]], groups: Sequence[str]) -> None:
    """Draw densities of coefficients, rows of the table: one panel per component and one ridge per group."""
    shown = sorted({row["component"] for row in rows})[:PER_ROW]
    panels = canvas.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, component in zip(panels, shown, strict=True):
        of_component = [row for row in rows if row["component"] == component]
        peak = max(row["density"] for row in of_component)
        for line, group in enumerate(groups):
            points = [(row["coefficient"], row["density"]) for row in of_component if row["group"] == group]
            if points:
                x, y = np.array(points).T
                base = -float(line)
                axes.fill_between(x, base, base + OVERLAP * y / peak, color=f"C{line % 7}", alpha=0.55, lw=0)
                axes.plot(x, base + OVERLAP * y / peak, color=f"C{line % 7}", lw=0.9)
        axes.set_title(f"c{component}")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks([-float(line) for line in range(len(groups))], [label(group, 24) for group in groups])


def phenotypes(canvas: Figure, counts: Array, bound: float) -> None:
    """Draw the histogram of the first two coefficients [cells, cells] over [-bound, bound] in logarithmic colors."""
    axes = canvas.add_subplot()
    peak = counts.max()
    image = axes.imshow(
        np.where(counts > 0, counts, np.nan).T,
        norm=LogNorm(max(peak * 1e-5, np.finfo(float).tiny), peak),
        origin="lower",
        extent=(-bound, bound, -bound, bound),
        interpolation="nearest",
    )
    axes.set_xlabel("c0")
    axes.set_ylabel("c1")
    bar = canvas.colorbar(image, ax=axes, label="kernels")
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    bar.ax.yaxis.set_minor_formatter(lambda *_: "")
