"""Filters of first layers as color pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from filtercrawl_analysis.plots.names import labels
from filtercrawl_analysis.plots.theme import SMALL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Panels in a row of the figure, and filters in a row and a column of a panel.
COLUMNS: Final = 3
GRID: Final = (6, 4)


def filter_grids(canvas: Figure, layers: Sequence[tuple[str, NDArray[np.uint8]]]) -> None:
    """Draw a panel of filters for each layer.

    Args:
        canvas: An empty figure.
        layers: Title and pictures, uint8 [filters, height, width, 3], of each layer.
    """
    n_rows = -(-len(layers) // COLUMNS)
    panels = list(canvas.subplots(n_rows, COLUMNS, squeeze=False).flat)
    names = labels([name for name, _ in layers], 20)
    for axes, name, (_, pictures) in zip(panels, names, layers, strict=False):
        axes.imshow(_tiled(pictures), interpolation="nearest")
        axes.set_title(name, loc="left", fontsize=SMALL)
    for axes in panels:
        axes.set_axis_off()


def _tiled(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the pictures in rows and columns with transparent gaps, uint8 [height, width, 4]."""
    across, down = GRID
    _, height, width, _ = pictures.shape
    gap = max(1, round(width / 7))
    tiled = np.zeros((down * (height + gap) - gap, across * (width + gap) - gap, 4), np.uint8)
    for i, picture in enumerate(pictures[: across * down]):
        top, left = i // across * (height + gap), i % across * (width + gap)
        tiled[top : top + height, left : left + width, :3] = picture
        tiled[top : top + height, left : left + width, 3] = 255
    return tiled
