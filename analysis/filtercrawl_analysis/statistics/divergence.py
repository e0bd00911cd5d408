"""The drift of CNN Filter DB between distributions of coefficients (arXiv 2203.15331), for all pairs at once."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from filtercrawl_analysis.numerics.moments import Array

# What an empty bin is set to, in units of density: the published code's.
EPSILON: Final = float(np.finfo(np.float32).eps)


def probabilities(counts: NDArray[np.number], width: float) -> Array:
    """Turn histograms into probabilities, float64 [..., components, bins]; NaN where a histogram is empty.

    counts: of coefficients, or any multiple of them, [..., components, bins]; width: of a bin. Densities first, empty
    bins set to the epsilon of float32, then divided by their sum.
    """
    values = counts.astype(np.float64)
    totals = values.sum(-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        density = values / (totals * width)
    density[density == 0] = EPSILON
    found: Array = density / density.sum(-1, keepdims=True)
    return found


def pairwise_drift(p: Array, q: Array, shares: Array) -> Array:
    """Return D between each of p [..., a, components, bins] and each of q [..., b, components, bins]: [..., a, b].

    D = sum_i shares_i (KL(p_i, q_i) + KL(q_i, p_i)), natural logarithm; symmetric, and 0 only between equals.
    """
    weight = np.repeat(shares, p.shape[-1])
    flat_p, flat_q = (x.reshape(*x.shape[:-2], -1) for x in (p, q))
    log_p, log_q = np.log(flat_p), np.log(flat_q)
    weighted_p, weighted_q = flat_p * weight, flat_q * weight
    own_p, own_q = (weighted_p * log_p).sum(-1), (weighted_q * log_q).sum(-1)
    across = weighted_p @ np.swapaxes(log_q, -1, -2) + log_p @ np.swapaxes(weighted_q, -1, -2)
    found: Array = np.maximum(own_p[..., :, None] + own_q[..., None, :] - across, 0)
    return found


def component_divergence(p: Array, q: Array) -> Array:
    """Return KL(p_i, q_i) + KL(q_i, p_i) of each component, [..., components], of which D is the weighted sum."""
    found: Array = ((p - q) * (np.log(p) - np.log(q))).sum(-1)
    return found


def paired_drift(p: Array, q: Array, shares: Array) -> Array:
    """Return D between p and q one by one: both [..., components, bins], the result [...]."""
    found: Array = component_divergence(p, q) @ shares
    return found
