"""Rank correlations within layers: the values of scipy, and the level of the test."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from filtercrawl_analysis.statistics.filters.correlations import FilterCorrelations


def row_of(layers: list[tuple[np.ndarray, np.ndarray]], models: int = 1) -> dict[str, object]:
    found = FilterCorrelations()
    for i, (column, measure) in enumerate(layers):
        found.add(f"m{i % models}", {"score": column}, {"norm_l2": measure})
    (row,) = found.table().to_pylist()
    return dict(row)


def test_values_are_those_of_scipy() -> None:
    random = np.random.default_rng(0)
    layers = [(random.integers(0, 5, n).astype(float), random.standard_normal(n) + 3 * n) for n in (4, 17, 40)]
    row = row_of(layers)
    each = [spearmanr(*layer).statistic for layer in layers]
    assert row["within_layers"] == pytest.approx(np.average(each, weights=[3, 16, 39]))
    pooled = spearmanr(np.concatenate([c for c, _ in layers]), np.concatenate([m for _, m in layers])).statistic
    assert row["rank_correlation"] == pytest.approx(pooled)
    assert (row["layers"], row["filters"], row["models"]) == (3, 61, 1)


def test_the_p_value_is_that_of_exchanges_within_layers() -> None:
    random = np.random.default_rng(3)
    layers = [(random.integers(0, 4, n).astype(float), random.standard_normal(n)) for n in (8, 12, 20, 30)]

    def statistic(columns: list[np.ndarray]) -> float:
        each = [spearmanr(c, m).statistic for c, (_, m) in zip(columns, layers, strict=True)]
        return float(np.average(each, weights=[len(m) - 1 for _, m in layers]))

    observed = statistic([c for c, _ in layers])
    drawn = [statistic([random.permutation(c) for c, _ in layers]) for _ in range(500)]
    assert row_of(layers)["p"] == pytest.approx(np.mean(np.abs(drawn) >= abs(observed)), abs=0.06)


def test_unrelated_columns_are_found_as_often_as_stated_whatever_differs_between_layers() -> None:
    random = np.random.default_rng(1)
    rejected = 0
    for _ in range(400):
        levels = 10 * random.standard_normal(6)  # of both: the pooled correlation is large
        layers = [(level + random.standard_normal(12), level + random.standard_normal(12)) for level in levels]
        rejected += row_of(layers)["p"] < 0.05  # type: ignore[operator]
    assert 8 <= rejected <= 33  # 20 expected; beyond with a probability of 1 %


def test_verdicts_and_intervals() -> None:
    random = np.random.default_rng(2)
    noise = [random.standard_normal((2, 20)) for _ in range(12)]
    related = row_of([(a, a + b) for a, b in noise], models=6)
    opposite = row_of([(a, b - a) for a, b in noise], models=6)
    assert (related["verdict"], opposite["verdict"]) == ("higher", "lower")
    assert 0 < related["low"] <= related["high"] <= 1  # type: ignore[operator]
    few = row_of([(np.arange(5.0), np.arange(5.0))])
    assert (few["verdict"], few["p"], few["low"]) == ("too little to tell", None, None)
    assert row_of([(np.ones(50), np.arange(50.0))])["within_layers"] is None
    unknown = row_of([(np.r_[np.nan, np.arange(49.0)], np.r_[1.0, np.arange(48.0), np.nan])])
    assert unknown["filters"] == 48
