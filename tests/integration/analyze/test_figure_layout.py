"""Figures of any groups, looked at as drawn: nothing overlaps, is cut off, or is too small for a phone."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from filtercrawl_analysis.plots.heat_map import drift_matrix, heat_map, heat_map_height
from support.figure_layout import figure_of, layout_problems

NAMES = {
    "plain": [f"group {i}" for i in range(60)],
    "long": [f"organization-{i}/a-model-with-a-very-long-name-{i}-that-never-ends-{i % 7}" for i in range(60)],
    "emoji": [f"🚀 rocket 🤗{i}" for i in range(60)],
    "right to left": [f"שלום עולם {i} مرحبا" for i in range(60)],
    "equal ends": [f"{'x' * 30}{i}{'y' * 30}" for i in range(60)],
}


@pytest.mark.parametrize(
    ("count", "names"), [(1, "plain"), (2, "right to left"), (8, "emoji"), (18, "long"), (60, "equal ends")]
)
def test_heat_maps_fit(names: str, count: int) -> None:
    drift = np.abs(np.subtract.outer(np.arange(count), np.arange(count))) / 7.0
    given = drift_matrix(NAMES[names][:count], [i + 1 for i in range(count)], drift, {})
    figure = figure_of(partial(heat_map, matrix=given, column="training dataset"), heat_map_height(count))
    assert layout_problems(figure) == []
