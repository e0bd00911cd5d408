"""Principal components of scaled kernels from merged sketches: exact, and without reading a kernel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from filtercrawl_analysis.numerics.moments import Array, Moments


@dataclass(frozen=True, kw_only=True)
class PrincipalComponents:
    """Principal components, ordered by explained variance.

    The sign of a component is the one that makes its largest entry positive, as in scikit-learn from 1.5 on: the
    common range of all histograms, and so the drift, depends on it.

    Attributes:
        n: Number of kernels.
        mean: Mean kernel [taps].
        vectors: Components as rows [taps, taps].
        explained_variance: Share of the variance along each component [taps].
    """

    n: int
    mean: Array
    vectors: Array
    explained_variance: Array


def principal_components(moments: Moments) -> PrincipalComponents | None:
    """Return the principal components of a single set of kernels: centered, divisor n - 1 (arXiv 2203.15331).

    None for fewer than two kernels, or where they do not differ.
    """
    scatter, n = moments.scatter[0], int(moments.n[0])
    if n < 2 or not np.trace(scatter) > 0:
        return None
    eigenvalues, eigenvectors = np.linalg.eigh(scatter / (n - 1))
    variances, vectors = np.maximum(eigenvalues[::-1], 0), eigenvectors.T[::-1]
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(1)[:, None], 1)
    vectors = np.ascontiguousarray(np.where(largest < 0, -vectors, vectors))
    return PrincipalComponents(
        n=n, mean=moments.mean[0], vectors=vectors, explained_variance=variances / variances.sum()
    )


def explained_variance_along(moments: Moments, vectors: Array) -> Array | None:
    """Return the share of a single set's variance along each of some orthonormal rows.

    Args:
        moments: Moments of one set of kernels.
        vectors: Orthonormal rows [components, taps].

    Returns:
        Shares [components]; None for fewer than two kernels, or where they do not differ.
    """
    scatter = moments.scatter[0]
    if moments.n[0] < 2 or not np.trace(scatter) > 0:
        return None
    variances = np.maximum(np.einsum("ij,jk,ik->i", vectors, scatter, vectors), 0)
    shares: Array = variances / variances.sum()
    return shares
