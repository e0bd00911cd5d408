"""Heat maps of drift: groups in a natural order or clustered, with marks for what differs and what is not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.collections import PathCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.plots.names import labels
from filtercrawl_analysis.plots.theme import SMALL, ink, muted, text_on

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

DIFFERS: Final = "differs"
UNTOLD: Final = "too little to tell"
# Groups in a heat map; up to which columns have room for names, and cells for numbers.
MAX_GROUPS: Final = 60
_MAX_NAMED: Final = 18
_MAX_NUMBERED: Final = 8


@dataclass(frozen=True, kw_only=True)
class DriftMatrix:
    """The drift between all pairs of groups, and what is known of each pair.

    Attributes:
        names: The groups.
        models: Number of models of each.
        drift: Drift [groups, groups]; NaN where it is unknown.
        differs: Pairs with a significant difference [groups, groups].
        untold: Pairs of too few models to tell [groups, groups].
    """

    names: tuple[str, ...]
    models: tuple[int, ...]
    drift: Array
    differs: NDArray[np.bool_]
    untold: NDArray[np.bool_]

    def take(self, order: Sequence[int]) -> DriftMatrix:
        """Return the matrix of some groups, in this order."""
        both = np.ix_(order, order)
        return DriftMatrix(
            names=tuple(self.names[i] for i in order),
            models=tuple(self.models[i] for i in order),
            drift=self.drift[both],
            differs=self.differs[both],
            untold=self.untold[both],
        )


def drift_matrix(
    names: Sequence[str], models: Sequence[int], drift: Array, verdicts: Mapping[tuple[str, str], str]
) -> DriftMatrix:
    """Return the matrix of groups from the verdict of each pair.

    Args:
        names: The groups.
        models: Number of models of each.
        drift: Drift [groups, groups].
        verdicts: Verdict of each pair of groups, in either order.
    """
    of_pair = np.array([[verdicts.get((a, b)) or verdicts.get((b, a)) or "" for b in names] for a in names], np.object_)
    of_pair = of_pair.reshape(len(names), len(names))
    return DriftMatrix(
        names=tuple(names), models=tuple(models), drift=drift, differs=of_pair == DIFFERS, untold=of_pair == UNTOLD
    )


def cluster_order(drift: Array) -> list[int]:
    """Return an order of groups in which those with a small drift are near one another.

    Average linkage, with the leaves in the order that makes neighbors most similar (Bar-Joseph et al. 2001). The first
    group is in the first half.

    Args:
        drift: Drift [groups, groups]; unknown values count as the largest known one.
    """
    if len(drift) < 3:
        return list(range(len(drift)))
    known = drift[np.isfinite(drift)]
    filled = np.where(np.isfinite(drift), drift, known.max(initial=0.0))
    distance = (filled + filled.T) / 2
    np.fill_diagonal(distance, 0)
    order: list[int] = leaves_list(linkage(squareform(distance), "average", optimal_ordering=True)).tolist()
    return order[::-1] if order.index(0) >= len(order) / 2 else order


def heat_map_height(count: int) -> float:
    """Return the height in inches of a heat map of so many groups."""
    return 2.6 + max(1.2, count * (0.3 if count <= _MAX_NUMBERED else 0.165)) - (count > _MAX_NAMED)


def heat_map(canvas: Figure, matrix: DriftMatrix, column: str) -> None:
    """Draw the drift between all pairs of groups, in their order.

    Args:
        canvas: An empty figure.
        matrix: The drift.
        column: The column that the groups are of, in words.
    """
    axes = canvas.add_subplot()
    count = len(matrix.names)
    pairs = ~np.eye(count, dtype=bool)
    shown = np.where(pairs & np.isfinite(matrix.drift), matrix.drift, np.nan)
    image = axes.imshow(
        shown, vmin=0, vmax=np.fmax.reduce(shown, axis=None, initial=1e-9), aspect="auto", interpolation="nearest"
    )
    _name_axes(axes, matrix, column)
    numbers = count <= _MAX_NUMBERED
    _hatch(axes, image, shown, pairs & (matrix.untold | ~np.isfinite(matrix.drift)))
    dots: dict[str, list[tuple[float, float]]] = {}
    for row, other in np.argwhere(pairs):
        color = text_on(image.to_rgba(shown[row, other])) if np.isfinite(shown[row, other]) else ink()
        if numbers and np.isfinite(shown[row, other]):
            text = _short_number(shown[row, other])
            axes.text(other, row, text, ha="center", va="center", fontsize=SMALL, color=color)
        if matrix.differs[row, other]:
            dots.setdefault(color, []).append((other + 0.38, row - 0.3) if numbers else (other, row))
    for color, places in dots.items():
        axes.plot(*zip(*places, strict=True), "o", color=color, ms=3.5 if count <= _MAX_NAMED else 2, mew=0)
    bar = canvas.colorbar(image, ax=axes, label="drift D", location="top", aspect=40, pad=0.02)
    bar.locator = MaxNLocator(5)
    handles = [
        Line2D([], [], ls="none", marker="o", color=ink(), ms=3.5, label="differs (q ≤ 0.05)"),
        Patch(facecolor="none", edgecolor=muted(), hatch="//", lw=0.5, label="too few models to tell, or unknown"),
    ]
    canvas.legend(handles=handles, loc="outside lower center", ncols=2)


def _name_axes(axes: Axes, matrix: DriftMatrix, column: str) -> None:
    count = len(matrix.names)
    texts = [f"{name} ({models})" for name, models in zip(labels(matrix.names, 20), matrix.models, strict=True)]
    if count <= _MAX_NAMED:
        axes.set_xticks(range(count), labels(matrix.names, 16), rotation=0 if max(map(len, matrix.names)) < 3 else 90)
    else:  # no room for names: rows have numbers, and columns refer to them
        texts = [f"{text}  {row}" for row, text in enumerate(texts, 1)]
        axes.set_xticks([i - 1 for i in (1, *range(5, count + 1, 5))], [str(i) for i in (1, *range(5, count + 1, 5))])
    axes.set_yticks(range(count), texts)
    axes.set_ylabel(f"{column} (models)")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _hatch(axes: Axes, image: AxesImage, shown: Array, cells: NDArray[np.bool_]) -> None:
    """Hatch cells in a color that is seen on theirs: one path for each color, as one a cell would be large."""
    by_color: dict[str, list[Path]] = {}
    for row, other in np.argwhere(cells):
        color = text_on(image.to_rgba(shown[row, other])) if np.isfinite(shown[row, other]) else muted()
        corners = [(other + x, row + y) for x, y in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5), (-0.5, -0.5))]
        by_color.setdefault(color, []).append(Path(corners, closed=True))
    for color, paths in by_color.items():
        outline = Path.make_compound_path(*paths)
        hatch = "//" if len(shown) <= _MAX_NAMED else "//////"
        axes.add_collection(PathCollection([outline], facecolor="none", edgecolor=color, hatch=hatch, lw=0, alpha=0.5))


def _short_number(value: float) -> str:
    """Return a drift in four characters or fewer: `.26`, `3.1`, `12`."""
    if value >= 10:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}".lstrip("0")
