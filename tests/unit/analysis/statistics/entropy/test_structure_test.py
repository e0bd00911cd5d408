"""Which test tells a layer from independent weights, and that its power is that of the kernels that matter."""

from __future__ import annotations

import numpy as np
import pytest

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.entropy.null import EntropyNull
from filtercrawl_analysis.statistics.entropy.power import correlated_kernels, correlated_root
from filtercrawl_analysis.statistics.entropy.simulation import variance_entropies
from filtercrawl_analysis.statistics.entropy.structure_test import LayerToTest, StructureTest, StructureTests

TESTS = StructureTests(EntropyNull())


def result_of(layer: Array) -> StructureTest:
    weights = layer.ravel() - layer.mean()
    return TESTS.test(
        LayerToTest(
            kernels=layer[:64],
            n_kernels=len(layer),
            kernel_size=(3, 3),
            entropy=float(variance_entropies(layer[None])[0]),
            kurtosis=float((weights**4).mean() / (weights**2).mean() ** 2 - 3),
        ),
        [1],
    )


def smooth(n: int) -> Array:
    return correlated_kernels((1, n), correlated_root((3, 3)), 0.0, np.random.default_rng(2))[0]


@pytest.mark.parametrize(("layer", "null"), [
    (smooth(40), "permutation"),
    (smooth(400), "kurtosis"),
    (np.random.default_rng(0).standard_normal((400, 9)), "kurtosis"),
])  # fmt: skip
def test_a_layer_of_which_all_kernels_are_known_is_permuted(layer: Array, null: str) -> None:
    assert result_of(layer).null == null


def test_where_few_weights_decide_the_entropy_the_sampled_kernels_are_permuted() -> None:
    layer = smooth(400)
    layer[-1] *= 200
    found = result_of(layer)
    assert found.null == "sample permutation"
    assert found.p_structured is not None
    assert found.p_structured < 0.001
    assert found.power == 1.0


def test_heavy_tailed_independent_weights_do_not_have_structure_in_their_sample() -> None:
    p_values = []
    for seed in range(16):
        found = result_of(np.random.default_rng(seed).standard_t(2, (300, 9)))
        if found.null == "sample permutation":
            p_values.append(found.p_structured)
    assert len(p_values) >= 6
    assert sum(p <= 0.05 for p in p_values if p is not None) <= 3


@pytest.mark.parametrize("n", [40, 400])
def test_power_is_low_where_few_kernels_hold_the_energy(n: int) -> None:
    layer = smooth(n) * 100.0 ** -np.minimum(np.arange(n), 8)[:, None]
    found = result_of(layer)
    assert found.power is not None
    assert found.power < 0.8
