"""CNN Filter DB (arXiv 2203.15331) written down once more, in numpy and float64, from its definitions alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def scaled(kernels: NDArray[np.float32]) -> Array:
    """Cast to float16, then over the largest magnitude, in float16; zeros over 1."""
    half = kernels.astype(np.float16)
    tops = np.abs(half).max(axis=1, keepdims=True)
    tops[tops == 0] = 1
    return (half / tops).astype(np.float64)


def pca(data: Array) -> tuple[Array, Array, Array]:
    """Mean, components as rows, explained variance ratio; by SVD of the centred data.

    The direction of a component is free, and the one range of all histograms depends on it: as in scikit-learn, the
    largest entry is positive.
    """
    mean = data.mean(axis=0)
    _, singular, rows = np.linalg.svd(data - mean, full_matrices=False)
    variances = singular**2 / (len(data) - 1)
    rows *= np.sign(rows[np.arange(len(rows)), np.abs(rows).argmax(axis=1)])[:, None]
    return mean, rows, variances / variances.sum()


def histograms(coefficients: Array, low: float, high: float, bins: int = 70) -> Array:
    """Probabilities [components, bins]: density, zeros -> eps of float32, over the sum."""
    found = []
    for column in coefficients.T:
        density, _ = np.histogram(column, bins=bins, range=(low, high), density=True)
        density = np.where(density == 0, np.finfo(np.float32).eps, density)
        found.append(density / density.sum())
    return np.array(found)


def divergence(p: Array, q: Array) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p.tolist(), q.tolist(), strict=True))


def drift(p: Array, q: Array, ratios: Array) -> float:
    pairs = zip(p, q, ratios.tolist(), strict=True)
    return sum(ratio * (divergence(a, b) + divergence(b, a)) for a, b, ratio in pairs)


def drifts(groups: Mapping[str, Sequence[NDArray[np.float32]]], nudge: float = 0.0) -> dict[tuple[str, str], float]:
    """The drift of all pairs of groups of kernels [k, taps]: one PCA and one range for all, moved by `nudge`."""
    data = {name: scaled(np.concatenate(parts)) for name, parts in groups.items()}
    mean, rows, ratios = pca(np.concatenate(list(data.values())))
    coefficients = {name: (kernels - mean) @ rows.T for name, kernels in data.items()}
    low = min(float(found.min()) for found in coefficients.values())
    high = max(float(found.max()) for found in coefficients.values())
    p = {name: histograms(found, low + nudge, high + nudge) for name, found in coefficients.items()}
    return {(a, b): drift(p[a], p[b], ratios) for a in p for b in p}


def entropy(kernels: NDArray[np.float32]) -> float:
    """Variance entropy of a layer [n, taps], base 10."""
    singular = np.linalg.svd(kernels.astype(np.float64) - kernels.astype(np.float64).mean(axis=0), compute_uv=False)
    shares = singular**2 / (singular**2).sum()
    return -sum(share * math.log10(share) for share in shares.tolist() if share > 0)


def threshold(n: float) -> float:
    return 1.2618047 / (1 + math.exp(-0.88767525 * (math.log2(n) - 2.30436435))) - 0.31050834
