"""Panels of measures against accuracy."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from filtercrawl_analysis.plots.accuracy import accuracy_scatters


@pytest.mark.parametrize("n_measures", [1, 2, 3])
def test_a_panel_without_a_measure_is_not_drawn(n_measures: int) -> None:
    measures = [f"m{i}" for i in range(n_measures)]
    models = [{"metric": "top-1", "family": None, "value": 0.5 + i / 10, **dict.fromkeys(measures, i)} for i in (0, 1)]
    canvas = Figure(layout="constrained")
    accuracy_scatters(canvas, models, measures)
    assert [axes.axison for axes in canvas.axes] == [i < n_measures for i in range(len(canvas.axes))]
