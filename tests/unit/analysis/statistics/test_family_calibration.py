"""A short form of docs/calibration.md: verdicts on models in their family are as often right as they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from support.drift_populations import Population
from support.family_simulation import PlantedFamily, is_shifted, judged_families

# Simulations: seconds each.
pytestmark = pytest.mark.exhaustive

REPETITIONS = 100


@pytest.mark.parametrize("models", [5, 20, 60])
@pytest.mark.parametrize("deviation", [0.0, 1.8], ids=["equal sizes", "heavy-tailed sizes"])
def test_models_of_one_population_are_told_apart_no_more_often_than_is_said(models: int, deviation: float) -> None:
    family = PlantedFamily(models=models, deviation=deviation, population=Population(spread=0.2, components=4))
    chosen, told = [], 0
    for seed in range(REPETITIONS):
        rows = judged_families([family], np.random.default_rng(seed))
        chosen += [row["p_rank"] for row in rows if row["model_id"] == "0"]
        told += any(row["verdict"] == "differs" for row in rows)
    for alpha in (0.05, 0.2):
        assert (np.array(chosen) <= alpha + 1e-12).sum() <= binom.ppf(0.995, len(chosen), alpha)
    assert told <= binom.ppf(0.995, REPETITIONS, 0.05)


def test_models_that_are_far_for_their_family_are_found_and_few_others_are() -> None:
    families = [PlantedFamily(models=30, shifted=int(i < 2), shift=2.0) for i in range(6)]
    found = wrong = 0
    for seed in range(25):
        for row in judged_families(families, np.random.default_rng(seed)):
            if row["verdict"] == "differs":
                found += is_shifted(row, families)
                wrong += not is_shifted(row, families)
    assert found >= 0.6 * 50
    assert wrong <= 0.05 * found
