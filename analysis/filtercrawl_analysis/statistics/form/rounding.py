"""Rounding of fitted parameters, whose last digits depend on how a processor orders its sums."""

from __future__ import annotations

from typing import Final

import numpy as np

from filtercrawl_analysis.numerics.moments import Array

_DIGITS: Final = 6


def rounded(values: Array) -> list[float | None]:
    """Return values with six significant digits; None for NaN."""
    return [None if np.isnan(value) else float(f"{value:.{_DIGITS}g}") for value in values.tolist()]
