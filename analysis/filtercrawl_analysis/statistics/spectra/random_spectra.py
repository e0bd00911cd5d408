"""What power laws and soft ranks random layers have: independent normal weights of the same shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from filtercrawl_analysis.numerics.marchenko_pastur import wishart_eigenvalues
from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.groups.model_medians import HIGHER, LOWER, NOT_TOLD_APART
from filtercrawl_analysis.statistics.groups.resampling import random_generator
from filtercrawl_analysis.statistics.spectra.layer_spectrum import SMALLEST_EIGENVALUE, TapSpectrum, fit_eigenvalues

# A value outside of the range of so many random layers has a two-sided p-value of 0.05.
LAYERS: Final = 39
_CACHED_SHAPES: Final = 64


@dataclass(frozen=True, kw_only=True)
class RandomRange:
    """Values of random layers of one shape.

    Attributes:
        median: Their median.
        low: The smallest.
        high: The largest.
    """

    median: float
    low: float
    high: float

    def verdict(self, value: float) -> str:
        """Return `higher` or `lower` for a value outside of the range, which has p <= 0.05; else `not told apart`."""
        return LOWER if value < self.low else HIGHER if value > self.high else NOT_TOLD_APART


@dataclass(frozen=True, kw_only=True)
class RandomFits:
    """Fits to the eigenvalues of random layers of one shape.

    Attributes:
        alpha: Exponents of the power law; None where not all layers have one.
        soft_rank: Soft ranks; None where not all layers have one.
    """

    alpha: RandomRange | None
    soft_rank: RandomRange | None


class RandomSpectra:
    """Fits to random layers by shape, each simulated once."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._eigenvalues = lru_cache(_CACHED_SHAPES)(self._draw)
        self._fits = lru_cache(_CACHED_SHAPES)(self._fit)

    def fits(self, shape: Sequence[int], variance: float) -> RandomFits:
        """Return the fits to random layers.

        Args:
            shape: Output channels, input channels of a group, and taps.
            variance: Of the weights, by which eigenvalues are too small for the power law. For 0 there are no fits: a
                layer of equal weights has no random counterpart.
        """
        if variance == 0:
            return RandomFits(alpha=None, soft_rank=None)
        out, inputs, taps = shape
        sides = (max(out, inputs), min(out, inputs), taps)
        smallest = SMALLEST_EIGENVALUE / variance
        if all(smallest < values[0] for values in self._eigenvalues(*sides)):
            smallest = 0.0  # none is left out: the same fits for every variance
        return self._fits(sides, smallest)

    def singular_values(self, block: tuple[int, int], groups: int) -> Array:
        """Draw the singular values of a random matrix with so many diagonal blocks of a shape, in descending order."""
        rows, columns = max(block), min(block)
        random = random_generator(self._seed, "singular values", f"{rows} {columns} {groups}")
        drawn = [wishart_eigenvalues(rows, columns, random) for _ in range(groups)]
        return np.sqrt(np.sort(np.concatenate(drawn))[::-1])

    def _draw(self, rows: int, columns: int, taps: int) -> list[Array]:
        random = random_generator(self._seed, "spectra", f"{rows} {columns} {taps}")
        return [
            np.sort(np.concatenate([wishart_eigenvalues(rows, columns, random) for _ in range(taps)]))
            for _ in range(LAYERS)
        ]

    def _fit(self, sides: tuple[int, int, int], smallest: float) -> RandomFits:
        spectra = [fit_eigenvalues(values, sides[:2], smallest) for values in self._eigenvalues(*sides)]
        return RandomFits(
            alpha=_range([_alpha(spectrum) for spectrum in spectra]),
            soft_rank=_range([_soft_rank(spectrum) for spectrum in spectra]),
        )


def _alpha(spectrum: TapSpectrum) -> float | None:
    return spectrum.power_law.alpha if spectrum.power_law else None


def _soft_rank(spectrum: TapSpectrum) -> float | None:
    return spectrum.marchenko_pastur.soft_rank if spectrum.marchenko_pastur else None


def _range(values: Sequence[float | None]) -> RandomRange | None:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return RandomRange(median=float(np.median(known)), low=min(known), high=max(known))
