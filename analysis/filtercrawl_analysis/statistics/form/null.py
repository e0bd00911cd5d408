"""How well fits explain kernels of independent normal weights, by simulation, and the p-values that follow."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal

import numpy as np

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.form.fits import fit_dog, fit_gabor
from filtercrawl_analysis.statistics.groups.resampling import random_generator

Form = Literal["gabor", "dog"]

# A kernel has a form where a fit explains more of it than of this share of random kernels.
LEVEL: Final = 0.01
# Random kernels of a size, and of sizes of more taps than `_LARGE`, whose fits take ten times as long.
_DRAWS: Final = 1999
_LARGE: Final = 200
_LARGE_DRAWS: Final = 499


@lru_cache(maxsize=64)
def null_r2(form: Form, size: tuple[int, int]) -> Array:
    """Return the sorted R² of fits to kernels of independent normal weights; the same in every run.

    Args:
        form: What is fitted.
        size: Height and width of the kernels.
    """
    taps = size[0] * size[1]
    draws = _DRAWS if taps <= _LARGE else _LARGE_DRAWS
    kernels = random_generator(0, "form", f"{size[0]}x{size[1]}").standard_normal((draws, *size))
    return np.sort(fit_gabor(kernels).r2 if form == "gabor" else fit_dog(kernels).r2)


def p_values(form: Form, size: tuple[int, int], r2: Array) -> Array:
    """Return the p-values of R² [k] under independent normal weights: (1 + draws of at least R²) / (1 + draws).

    NaN stays NaN.
    """
    null = null_r2(form, size)
    at_least = len(null) - np.searchsorted(null, r2, side="left")
    p: Array = np.where(np.isfinite(r2), (1 + at_least) / (1 + len(null)), np.nan)
    return p
