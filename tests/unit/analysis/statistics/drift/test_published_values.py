"""The bundled values of CNN Filter DB."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from filtercrawl_analysis.statistics.drift.published_values import compared_columns, group_names, published_values
from filtercrawl_plugins.cnn_filter_db.metadata import HUB_TASKS, lower, normalize_task


def test_all_pairs_of_groups_are_there_once() -> None:
    values = published_values()
    assert Counter(value.what for value in values) == {
        "explained_variance": 9,
        "mean": 9,
        "drift_task": 11 * 10 // 2,
        "drift_visual_category": 16 * 15 // 2,
        "drift_depth_decile": 10 * 9 // 2,
    }
    drifts = [value for value in values if value.what.startswith("drift_")]
    assert all(value.group_a and value.group_b for value in drifts)
    assert len({(value.what, frozenset({value.group_a, value.group_b})) for value in drifts}) == len(drifts)


@pytest.mark.parametrize(
    ("column", "mean", "largest"),
    [("task", 0.172, 0.70), ("visual_category", 0.431, 1.36), ("depth_decile", 0.047, 0.20)],
)
def test_drifts_have_the_stated_mean_and_maximum(column: str, mean: float, largest: float) -> None:
    values = [value.value for value in published_values() if value.what == f"drift_{column}"]
    assert np.mean(values) == pytest.approx(mean, abs=0.005)
    assert max(values) == pytest.approx(largest, abs=0.005)


def test_explained_variance_is_all_of_the_variance() -> None:
    shares = [value.value for value in published_values() if value.what == "explained_variance"]
    assert sum(shares) == pytest.approx(1, abs=1e-6)
    assert shares == sorted(shares, reverse=True)


def test_groups_are_named_as_the_source_of_the_published_kernels_names_them() -> None:
    assert compared_columns() == ("task", "visual_category", "depth_decile")
    for (column, published), name in group_names().items():
        if column == "task":
            task = normalize_task(published)
            assert name == HUB_TASKS.get(str(task), task)
        elif column == "visual_category":
            assert name == lower(published)
