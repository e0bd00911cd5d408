"""Which model describes a kernel."""

from __future__ import annotations

import numpy as np
import pytest

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.form.fits import fit_dog, fit_gabor
from filtercrawl_analysis.statistics.form.fitted_kernels import (
    DOG,
    GABOR,
    NEITHER,
    describing_models,
    kernels_per_layer,
)
from filtercrawl_analysis.statistics.form.null import p_values
from support.planted_forms import plant_dogs, plant_gabors


def described(kernels: Array) -> list[str | None]:
    size = (kernels.shape[1], kernels.shape[2])
    r2 = {GABOR: fit_gabor(kernels).r2, DOG: fit_dog(kernels).r2}
    p = {GABOR: p_values("gabor", size, r2[GABOR]), DOG: p_values("dog", size, r2[DOG])}
    return describing_models(r2, p, size[0] * size[1])


def share(found: list[str | None], name: str) -> float:
    return np.mean([form == name for form in found]).item()


def test_planted_forms_are_told_from_each_other_and_from_noise() -> None:
    random = np.random.default_rng(1)
    assert share(described(plant_dogs(150, 5, 0.2, random).kernels), DOG) >= 0.95
    assert share(described(plant_gabors(150, 5, 0.2, random).kernels), GABOR) >= 0.9
    assert share(described(random.standard_normal((300, 5, 5))), NEITHER) >= 0.95


def test_a_kernel_without_variance_has_no_form() -> None:
    assert described(np.zeros((1, 5, 5))) == [None]


@pytest.mark.parametrize(
    ("n_kernels", "total", "limit"),
    [([64, 64], 128, 64), ([64, 64], 127, 63), ([2, 64, 64], 22, 10), ([9] * 50, 10, 1)],
)
def test_as_many_kernels_of_each_layer_as_keep_the_total(n_kernels: list[int], total: int, limit: int) -> None:
    assert kernels_per_layer(n_kernels, total) == limit
