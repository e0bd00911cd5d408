"""Principal components from merged moments against the SVD of the kernels."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from filtercrawl_analysis.numerics.moments import Moments
from filtercrawl_analysis.statistics.components.pca import explained_variance_along, principal_components


def moments_of(*sets: NDArray[np.float64]) -> Moments:
    means = [kernels.mean(0) for kernels in sets]
    scatters = [(kernels - mean).T @ (kernels - mean) for kernels, mean in zip(sets, means, strict=True)]
    return Moments(
        n=np.array([len(kernels) for kernels in sets], np.float64), mean=np.array(means), scatter=np.array(scatters)
    )


def test_components_are_those_of_the_svd_with_the_largest_entry_positive() -> None:
    random = np.random.default_rng(0)
    kernels = random.standard_normal((50, 4)) * (4, 3, 2, 1) + 7
    found = principal_components(moments_of(kernels[:20], kernels[20:]).total())
    assert found is not None
    assert found.n == 50
    np.testing.assert_allclose(found.mean, kernels.mean(0))
    _, singular, vectors = np.linalg.svd(kernels - kernels.mean(0), full_matrices=False)
    np.testing.assert_allclose(found.explained_variance, singular**2 / (singular**2).sum())
    np.testing.assert_allclose(np.abs(found.vectors @ vectors.T), np.eye(4), atol=1e-9)
    largest = np.abs(found.vectors).argmax(1)
    assert (found.vectors[np.arange(4), largest] > 0).all()


def test_variance_along_the_axes_is_that_of_the_columns() -> None:
    kernels = np.random.default_rng(1).standard_normal((30, 3)) * (1, 2, 3)
    shares = explained_variance_along(moments_of(kernels).total(), np.eye(3))
    np.testing.assert_allclose(shares, kernels.var(0) / kernels.var(0).sum())


@pytest.mark.parametrize("kernels", [np.ones((1, 3)), np.ones((5, 3))])
def test_kernels_that_do_not_differ_have_no_components(kernels: NDArray[np.float64]) -> None:
    moments = moments_of(kernels).total()
    assert principal_components(moments) is None
    assert explained_variance_along(moments, np.eye(3)) is None
