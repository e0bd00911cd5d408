"""Drift between two forms of the same layers: calibrated where they are exchangeable, and found where they are not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from filtercrawl_analysis.statistics.components.coefficients import CoefficientSpace
from filtercrawl_analysis.statistics.drift.paired_views import PairedHistograms, paired_drift_rows
from filtercrawl_analysis.statistics.groups.labels import LayerGroups

COMPONENTS, BINS = 3, 20
SPACE = CoefficientSpace(
    mode="sketch",
    basis=np.eye(COMPONENTS),
    mean=np.zeros(COMPONENTS),
    weights=np.array([0.6, 0.3, 0.1]),
    low=-1,
    high=1,
)


def units(models: int, kernels: int = 2_000) -> LayerGroups:
    return LayerGroups(
        unit_of_layer=np.arange(models),
        labels={
            "model_id": [f"m{i}" for i in range(models)],
            "all": ["all"] * models,
            "half": ["a", "b"] * (models // 2),
        },
        kernels=np.full(models, kernels),
        layers=np.ones(models, np.int64),
    )


def drawn(random: np.random.Generator, models: int, shift: float = 0.0, kernels: int = 2_000) -> PairedHistograms:
    """Two forms of each model; what differs between models is common to both."""
    edges = np.linspace(-1, 1, BINS + 1)
    both = np.zeros((2, models, COMPONENTS, BINS), np.int64)
    for model in range(models):
        center = 0.1 * random.standard_normal(COMPONENTS)
        for form in range(2):
            for component in range(COMPONENTS):
                mean = center[component] + 0.02 * random.standard_normal() + shift * form
                values = np.clip(mean + 0.3 * random.standard_normal(kernels), -0.999, 0.999)
                both[form, model, component] = np.histogram(values, edges)[0]
    return PairedHistograms(kernel="3x3", units=units(models, kernels), space=SPACE, first=both[0], second=both[1])


def test_exchangeable_forms_are_seldom_told_apart() -> None:
    random, n = np.random.default_rng(1), 60
    p = [paired_drift_rows([drawn(random, 8)], ["all"], 400, seed)[0]["p"] for seed in range(n)]
    for level in (0.05, 0.2):
        assert sum(value <= level for value in p) <= binom.ppf(0.999, n, level)


def test_a_shift_that_all_models_have_is_found_and_estimated() -> None:
    random = np.random.default_rng(2)
    (row,) = paired_drift_rows([drawn(random, 8, shift=0.1)], ["all"], 1_000, 0)
    assert (row["verdict"], row["models"], row["layers"], row["kernels"]) == ("differs", 8, 8, 16_000)
    # The symmetric divergence of two normal distributions is (shift / deviation)^2.
    assert row["low"] < (0.1 / 0.3) ** 2 < row["high"]
    assert row["drift"] == pytest.approx(row["by_component"] @ SPACE.weights)


def test_equal_forms_have_no_drift() -> None:
    one = drawn(np.random.default_rng(3), 8)
    same = PairedHistograms(kernel="3x3", units=one.units, space=SPACE, first=one.first, second=one.first)
    rows = paired_drift_rows([same], ["all", "half"], 400, 0)
    assert [(row["column"], row["group"]) for row in rows] == [("all", "all"), ("half", "a"), ("half", "b")]
    assert all(row["drift"] == 0 and row["verdict"] != "differs" for row in rows)


def test_groups_that_are_too_small_are_left_out_or_not_judged() -> None:
    random = np.random.default_rng(4)
    assert paired_drift_rows([drawn(random, 1, kernels=99)], ["all"], 100, 0) == []
    (row,) = paired_drift_rows([drawn(random, 2, shift=1)], ["all"], 100, 0)
    assert (row["verdict"], row["q"]) == ("too little to tell", None)
