"""P-values of many tests at once."""

from __future__ import annotations

import numpy as np

from filtercrawl_analysis.numerics.moments import Array


def adjust_p_values(p_values: Array) -> Array:
    """Return p-values adjusted as by Benjamini and Hochberg (1995), in the same order; NaN stays NaN and counts not.

    To call a test significant where its adjusted value is at most q keeps the expected share of false calls among all
    calls at q.
    """
    result = np.full(len(p_values), np.nan)
    known = np.flatnonzero(np.isfinite(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    ranks = np.arange(1, len(order) + 1)
    raised = p_values[order] * len(order) / ranks
    result[order] = np.minimum(np.minimum.accumulate(raised[::-1])[::-1], 1.0)
    return result
