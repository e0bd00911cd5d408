"""p-values of fits under independent normal weights."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from filtercrawl_analysis.statistics.form.fits import fit_dog, fit_gabor
from filtercrawl_analysis.statistics.form.null import Form, null_r2, p_values
from support.planted_forms import plant_dogs, plant_gabors


@pytest.mark.parametrize("form", ["gabor", "dog"])
def test_random_kernels_have_small_p_values_as_often_as_they_say(form: Form) -> None:
    kernels = np.random.default_rng(11).standard_normal((800, 5, 5))
    p = p_values(form, (5, 5), (fit_gabor(kernels) if form == "gabor" else fit_dog(kernels)).r2)
    for level in (0.01, 0.05, 0.2):
        # The null is simulated too, which adds to the spread of the share.
        low, high = binom.ppf([0.001, 0.999], 400, level) / 400
        assert low <= (p <= level).mean() <= high


def test_planted_kernels_fit_and_unknown_r2_has_no_p_value() -> None:
    random = np.random.default_rng(12)
    gabors = p_values("gabor", (5, 5), fit_gabor(plant_gabors(60, 5, 0.2, random).kernels).r2)
    dogs = p_values("dog", (5, 5), fit_dog(plant_dogs(60, 5, 0.2, random).kernels).r2)
    assert max(gabors.max(), dogs.max()) <= 0.01
    assert np.isnan(p_values("gabor", (5, 5), np.array([np.nan]))).all()


def test_the_null_is_the_same_in_every_run() -> None:
    first = null_r2("dog", (5, 5))
    null_r2.cache_clear()
    np.testing.assert_array_equal(null_r2("dog", (5, 5)), first)
    assert (np.diff(first) >= 0).all()
