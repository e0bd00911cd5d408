"""Packed symmetric matrices, and moments of unions of sets of kernels."""

from __future__ import annotations

import numpy as np

from filtercrawl_analysis.numerics.merge import merge_moments, pack_symmetric, unpack_symmetric
from filtercrawl_analysis.numerics.moments import Moments


def test_packing_is_undone() -> None:
    full = np.random.default_rng(0).standard_normal((2, 5, 5))
    full += np.swapaxes(full, 1, 2)
    packed = pack_symmetric(full)
    assert packed.shape == (2, 15)
    assert packed[0, :5].tolist() == full[0, 0].tolist()
    assert np.array_equal(unpack_symmetric(packed), full)


def test_moments_of_a_union_are_those_of_all_its_kernels() -> None:
    random = np.random.default_rng(1)
    sets = [random.standard_normal((n, 3)) + 1000 for n in (4, 7, 2)]
    n = np.array([len(kernels) for kernels in sets])
    means = np.array([kernels.mean(0) for kernels in sets])
    scatters = np.array([(kernels - kernels.mean(0)).T @ (kernels - kernels.mean(0)) for kernels in sets])
    mean, scatter = merge_moments(n, means, pack_symmetric(scatters), np.array([1, 0, 1]), 3)
    union = np.concatenate([sets[0], sets[2]])
    np.testing.assert_allclose(mean[1], union.mean(0))
    deviation = union - union.mean(0)
    np.testing.assert_allclose(unpack_symmetric(scatter[1]), deviation.T @ deviation, atol=1e-9)
    assert (mean[2] == 0).all()  # a group without a set


def test_second_moment_is_around_zero() -> None:
    kernels = np.random.default_rng(2).standard_normal((6, 4)) + 3
    deviation = kernels - kernels.mean(0)
    moments = Moments(n=np.array([6.0]), mean=kernels.mean(0)[None], scatter=(deviation.T @ deviation)[None])
    np.testing.assert_allclose(moments.second_moment()[0], kernels.T @ kernels)
