"""Principal components of scaled kernels, from merged sketches: exact, and without reading a kernel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from filtercrawl_analysis.numerics.moments import Array, Moments


@dataclass(frozen=True, kw_only=True)
class PrincipalComponents:
    """n kernels, their mean [taps], components as rows [taps, taps], and the share of the variance along each [taps].

    Ordered by that share. Of its two directions a component has the one whose largest entry is positive, as in
    scikit-learn from 1.5 on: the one range of all histograms, and so the drift, depends on it.
    """

    n: int
    mean: Array
    vectors: Array
    explained_variance: Array


def principal_components(whole: Moments) -> PrincipalComponents | None:
    """Return the principal components of one set of kernels: centred, divisor n - 1 (arXiv 2203.15331).

    None for fewer than two kernels, or where they do not differ.
    """
    scatter, n = whole.scatter[0], int(whole.n[0])
    if n < 2 or not np.trace(scatter) > 0:
        return None
    variances, vectors = np.linalg.eigh(scatter / (n - 1))
    variances, rows = np.maximum(variances[::-1], 0), vectors.T[::-1]
    largest = np.take_along_axis(rows, np.abs(rows).argmax(1)[:, None], 1)
    rows = np.ascontiguousarray(np.where(largest < 0, -rows, rows))
    return PrincipalComponents(n=n, mean=whole.mean[0], vectors=rows, explained_variance=variances / variances.sum())


def explained_variance_along(whole: Moments, rows: Array) -> Array | None:
    """Return the share of one set's variance along each of these orthonormal rows, [taps]; None as `components`."""
    scatter = whole.scatter[0]
    if whole.n[0] < 2 or not np.trace(scatter) > 0:
        return None
    variances = np.maximum(np.einsum("ij,jk,ik->i", rows, scatter, rows), 0)
    shares: Array = variances / variances.sum()
    return shares
