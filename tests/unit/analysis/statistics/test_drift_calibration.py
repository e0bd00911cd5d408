"""A short form of docs/calibration.md: p-values, intervals and detectable drifts are as often right as they say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from filtercrawl_analysis.statistics.drift.inference import DriftInference, detectable_drift, infer_drift
from filtercrawl_analysis.statistics.drift.model_histograms import ModelGroupHistograms, single_stratum
from support.drift_populations import (
    Population,
    crossed_groups,
    kernel_groups,
    lognormal,
    true_drift,
    two_groups,
)

# Simulations: seconds each.
pytestmark = pytest.mark.exhaustive

Draw = Callable[[np.random.Generator], ModelGroupHistograms]

LAW = Population(spread=0.2, components=4)
SMALL, LARGE = lognormal(50), lognormal(5000)


def infer(draw: Draw, repetitions: int, draws: int = 200) -> list[DriftInference]:
    found = []
    for seed in range(repetitions):
        random = np.random.default_rng(seed)
        cells = draw(random)
        found.append(infer_drift(cells, single_stratum(cells, 0, 1), draws, random))
    return found


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda random: two_groups(random, (LAW, LAW), (8, 8), (SMALL, LARGE)), id="8:8, 50:5000 kernels"),
        pytest.param(
            lambda random: two_groups(random, (LAW, LAW), (3, 20), (LARGE, SMALL)), id="3:20, 5000:50 kernels"
        ),
        pytest.param(
            lambda random: two_groups(random, (replace(LAW, spread=0.0),) * 2, (5, 5), (SMALL, LARGE)), id="no spread"
        ),
        pytest.param(lambda random: crossed_groups(random, (LAW, LAW), 9, (SMALL, LARGE)), id="models in both groups"),
        pytest.param(
            lambda random: crossed_groups(random, (LAW, LAW), 5, (SMALL, LARGE), (4, 6)),
            id="some models in both groups",
        ),
        pytest.param(
            lambda random: kernel_groups(random, (3,), (6, 6), (lognormal(60), lognormal(400)), exact=True),
            id="drawn kernels, principal components",
        ),
    ],
)
def test_equal_distributions_are_rejected_no_more_often_than_is_said(draw: Draw) -> None:
    p_values = np.array([found.p_value for found in infer(draw, 120)], np.float64)
    for alpha in (0.05, 0.2):
        assert (p_values <= alpha).sum() <= binom.ppf(0.995, 120, alpha)


@pytest.mark.parametrize("models", [(3, 20), (5, 15), (6, 6)])
@pytest.mark.parametrize("common", [False, True])
def test_equal_means_of_models_that_vary_differently_are_rejected_no_more_often(
    models: tuple[int, int], *, common: bool
) -> None:
    varied, alike = (Population(components=4, mixture=mixture, common=common) for mixture in (1.0, 0.1))
    found = infer(lambda random: two_groups(random, (varied, alike), models, (lognormal(1000),) * 2), 120)
    p_values = np.array([f.p_value for f in found], np.float64)
    for alpha in (0.05, 0.2):
        assert (p_values <= alpha).sum() <= binom.ppf(0.995, 120, alpha)


def test_intervals_cover_a_large_drift_where_most_bins_of_one_side_are_empty_on_the_other() -> None:
    first = Population(spread=0.1)
    second = replace(first, shift=3.0)
    truth = true_drift(first, second)
    found = infer(lambda random: two_groups(random, (first, second), (8, 8), (lognormal(100),) * 2), 100, draws=100)
    covered = sum(f.low is not None and f.high is not None and f.low <= truth <= f.high for f in found)
    assert binom.ppf(0.005, 100, 0.95) <= covered


@pytest.mark.parametrize("shift", [0.15, 0.6])
def test_intervals_cover_the_true_drift(shift: float) -> None:
    populations = (LAW, replace(LAW, shift=shift))
    true = true_drift(*populations, models=4000)
    found = infer(lambda random: two_groups(random, populations, (6, 12), (lognormal(300), lognormal(3000))), 120)
    covered = sum(f.low <= true <= f.high for f in found if f.low is not None and f.high is not None)
    assert covered >= binom.ppf(0.005, 120, 0.95)


def test_a_detectable_drift_is_found_four_times_in_five() -> None:
    sizes, law = (lognormal(1000),) * 2, replace(LAW, spread=0.1)
    equal = infer(lambda random: two_groups(random, (law, law), (8, 8), sizes), 20)
    stated = np.median(
        [detectable_drift(f.moments, f.bound, 0.05, f.smallest_p_value) for f in equal if f.moments is not None]
    )
    # D grows with the square of the shift while it is small.
    shifted = replace(law, shift=0.1 * float(np.sqrt(stated / true_drift(law, replace(law, shift=0.1), 4000))))
    assert true_drift(law, shifted, 4000) == pytest.approx(stated, rel=0.1)
    found = infer(lambda random: two_groups(random, (law, shifted), (8, 8), sizes), 100)
    assert 65 <= sum(f.p_value is not None and f.p_value <= 0.05 for f in found) <= 93
