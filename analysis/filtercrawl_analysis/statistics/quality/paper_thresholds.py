"""The thresholds of CNN Filter DB (arXiv 2203.15331), fitted for kernels of nine taps and valid for no others."""

from __future__ import annotations

import math
from typing import Final

TAPS: Final = 9
# Coefficients L, k, x0 and b of T_H.
_SCALE: Final = 1.2618047
_SLOPE: Final = 0.88767525
_MIDPOINT: Final = 2.30436435
_OFFSET: Final = -0.31050834
# From the supplement: how far below T_H an entropy still counts as random, and limits of low entropy and many dead.
_MARGIN: Final = 0.02
LOW_ENTROPY: Final = 0.5
MANY_DEAD: Final = 0.14


def randomness_threshold(n_kernels: float, taps: int) -> float | None:
    """Return T_H(n) = L / (1 + exp(-k (log2 n - x0))) + b for a layer of n kernels of nine taps.

    None for other numbers of taps, and where T_H is not positive (n up to 2), as it would call every layer random.
    """
    if taps != TAPS or n_kernels < 1:
        return None
    threshold = _SCALE / (1 + math.exp(-_SLOPE * (math.log2(n_kernels) - _MIDPOINT))) + _OFFSET
    return threshold if threshold > 0 else None


def degenerate(entropy: float | None, sparsity: float | None, n_kernels: int, taps: int) -> bool | None:
    """Return whether the supplement calls a layer degenerate: H >= T_H - 0.02, or H < 0.5 and S >= 0.14.

    None where H, S or T_H is unknown.
    """
    threshold = randomness_threshold(n_kernels, taps)
    if threshold is None or entropy is None or sparsity is None:
        return None
    return entropy >= threshold - _MARGIN or (entropy < LOW_ENTROPY and sparsity >= MANY_DEAD)
