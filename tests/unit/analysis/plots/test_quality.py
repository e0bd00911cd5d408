"""Axes of shares, and colors of kernels that are not finite."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from filtercrawl_analysis.plots.quality import depth_profiles, kernel_mosaics
from filtercrawl_analysis.plots.theme import NOT_FINITE


@pytest.mark.parametrize("value", [0.0, 0.001, 0.3])
def test_the_axis_of_a_share_starts_at_zero(value: float) -> None:
    of_share = {f"sparsity_{name}": value for name in ("q1", "median", "q3")}
    rows = [{"group": str(decile), **of_share} for decile in range(3)]
    canvas = Figure()
    depth_profiles(canvas, rows, ("sparsity",))
    (panel,) = canvas.axes
    low, high = panel.get_ylim()
    assert 0 <= low < value < high or (value == low == 0 < high)


def test_weights_that_are_not_finite_have_a_color_of_their_own() -> None:
    kernels = np.linspace(-1, 1, 18).reshape(2, 9)
    kernels[1, 4] = np.inf
    canvas = Figure()
    kernel_mosaics(canvas, [("layer", (3, 3), kernels)], 2)
    (image,) = canvas.axes[0].get_images()
    colors = image.to_rgba(image.get_array())
    assert np.argwhere((colors == to_rgba(NOT_FINITE)).all(-1)).tolist() == [[1, 5]]
