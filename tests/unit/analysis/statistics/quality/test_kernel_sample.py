"""Dead kernels, outliers and copies, from all kernels of a layer or a sample of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.entropy.power import correlated_kernels, correlated_root
from filtercrawl_analysis.statistics.quality.kernel_sample import KernelSampleStats, kernel_sample_stats
from filtercrawl_analysis.statistics.quality.outlier_bounds import LayerTotals


def smooth(n: int, seed: int = 0) -> Array:
    kernels: Array = correlated_kernels((1, n), correlated_root((3, 3)), 0.0, np.random.default_rng(seed))[0]
    return kernels


def stats_of(layer: Array, sampled: int = 64, seed: int = 0) -> KernelSampleStats:
    """The statistics of a layer from a sample of it."""
    peaks = np.abs(layer).max(1)
    totals = LayerTotals(
        n_kernels=len(layer),
        n_low=int((peaks < peaks.max() / 100).sum()),
        energy=float((layer**2).sum()),
        fourth_powers=float((layer**4).sum()),
        max_abs=float(peaks.max()),
    )
    chosen = np.sort(np.random.default_rng(seed).permutation(len(layer))[:sampled])
    return kernel_sample_stats(layer[chosen], totals, [seed])


@pytest.mark.parametrize("n", [64, 1024])
def test_ordinary_kernels_have_nothing_of_all_that(n: int) -> None:
    found = stats_of(smooth(n))
    assert found.dead_share == 0
    assert found.outlier_share_low is not None
    assert found.outlier_share_low < 0.3
    assert found.distinct_share == 1
    assert found.near_copy_share is not None
    assert found.near_copy_share < 0.4


@pytest.mark.parametrize("share", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("size", [1e-2, 1e-4, 0.0])
def test_dead_kernels_are_counted(share: float, size: float) -> None:
    layer = smooth(2000)
    dead = np.arange(len(layer)) < share * len(layer)
    layer[dead] *= size * 0.2
    found = stats_of(layer)
    assert found.dead_low <= share <= found.dead_high
    assert found.dead_share == pytest.approx(share, abs=0.15)
    everything = stats_of(layer, sampled=len(layer))
    assert everything.dead_share == everything.dead_low == everything.dead_high == pytest.approx(share)


@pytest.mark.parametrize("sampled", [64, 1024])
def test_outliers_make_no_other_kernel_dead(sampled: int) -> None:
    """90 % of the energy in 3 of 8,192 kernels: nearly all others have a peak below a hundredth of the largest."""
    layer = smooth(8192, 1)
    layer[[5, 77, 4000]] *= np.sqrt(0.9 / 0.1 * (layer**2).sum() / (layer[[5, 77, 4000]] ** 2).sum())
    assert (np.abs(layer).max(1) < np.abs(layer).max() / 100).mean() > 0.9
    found = stats_of(layer, sampled)
    assert found.dead_share < 0.05
    assert found.outlier_share_low is not None
    assert 0.8 < found.outlier_share_low <= 0.9


def test_few_kernels_have_no_outliers() -> None:
    layer = smooth(16)
    layer[0] *= 100
    assert stats_of(layer).outlier_share_low is None


@pytest.mark.parametrize("prototypes", [1, 2, 4, 8])
@pytest.mark.parametrize("noise", [0.01, 0.05, 0.1])
def test_copies_with_noise_are_near_copies(prototypes: int, noise: float) -> None:
    random = np.random.default_rng(prototypes)
    layer = smooth(prototypes)[random.integers(0, prototypes, 500)] * random.standard_normal((500, 1))
    layer += noise / 3 * np.linalg.norm(layer, axis=1, keepdims=True) * random.standard_normal(layer.shape)
    found = stats_of(layer)
    assert found.near_copy_share is not None
    assert found.near_copy_share >= 0.9
    assert found.near_copy_null is not None
    assert found.one_kernel_share is not None
    if prototypes == 1:
        assert found.one_kernel_share > 0.95
    elif prototypes > 2:
        assert found.near_copy_null < found.near_copy_share - 0.4


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 200), st.sampled_from([2, 3, 9, 25]), st.integers(0, 10**6))
def test_shares_are_shares(n: int, taps: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    layer = random.standard_normal((n, taps)) * np.exp(4 * random.standard_normal((n, 1)))
    found = stats_of(layer, seed=seed)
    assert 0 <= found.dead_low <= found.dead_share <= found.dead_high <= 1
    for share in (found.outlier_share_low, found.distinct_share, found.one_kernel_share, found.near_copy_share):
        assert share is None or 0 <= share <= 1 + 1e-12
    scaled = stats_of(layer * 1e-6, seed=seed)
    assert scaled.dead_share == found.dead_share
    assert scaled.near_copy_share == found.near_copy_share
