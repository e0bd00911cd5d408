"""The drift of CNN Filter DB between distributions of coefficients (arXiv 2203.15331), for many pairs at once."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from filtercrawl_analysis.numerics.moments import Array

# The density of empty bins, as in the published code.
EPSILON: Final = float(np.finfo(np.float32).eps)


def probabilities(counts: NDArray[np.number], width: float) -> Array:
    """Turn histograms into probabilities.

    Counts become densities, empty bins are set to the epsilon of float32, and the result is divided by its sum.

    Args:
        counts: Histograms [..., components, bins], up to a factor each.
        width: Width of a bin.

    Returns:
        Probabilities, float64 [..., components, bins]; NaN where a histogram is empty.
    """
    values = counts.astype(np.float64)
    totals = values.sum(-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        density = values / (totals * width)
    density[density == 0] = EPSILON
    p: Array = density / density.sum(-1, keepdims=True)
    return p


def pairwise_drift(p: Array, q: Array, weights: Array) -> Array:
    """Return the drift D between each distribution of p and each of q.

    D = sum_i w_i (KL(p_i, q_i) + KL(q_i, p_i)) with natural logarithms: the symmetric Kullback-Leibler divergence of
    each component i, weighted by its share w_i of the variance. Symmetric, and 0 only between equal distributions.

    Args:
        p: Probabilities [..., a, components, bins].
        q: Probabilities [..., b, components, bins].
        weights: Weight of each component [components].

    Returns:
        Drifts [..., a, b].
    """
    bin_weights = np.repeat(weights, p.shape[-1])
    flat_p, flat_q = (x.reshape(*x.shape[:-2], -1) for x in (p, q))
    log_p, log_q = np.log(flat_p), np.log(flat_q)
    weighted_p, weighted_q = flat_p * bin_weights, flat_q * bin_weights
    # KL(p, q) + KL(q, p) = sum p log p + sum q log q - sum p log q - sum q log p: matrix products for all pairs.
    entropy_p, entropy_q = (weighted_p * log_p).sum(-1), (weighted_q * log_q).sum(-1)
    cross = weighted_p @ np.swapaxes(log_q, -1, -2) + log_p @ np.swapaxes(weighted_q, -1, -2)
    drift: Array = np.maximum(entropy_p[..., :, None] + entropy_q[..., None, :] - cross, 0)
    return drift


def component_divergence(p: Array, q: Array) -> Array:
    """Return KL(p_i, q_i) + KL(q_i, p_i) of each component, [..., components]; D is their weighted sum."""
    divergence: Array = ((p - q) * (np.log(p) - np.log(q))).sum(-1)
    return divergence


def paired_drift(p: Array, q: Array, weights: Array) -> Array:
    """Return D between corresponding distributions of p and q, both [..., components, bins]; the result is [...]."""
    drift: Array = component_divergence(p, q) @ weights
    return drift
