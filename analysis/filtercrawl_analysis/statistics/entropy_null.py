"""What variance entropy layers of random numbers have, by simulation, for any number of kernels and taps."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np

from filtercrawl_analysis.numerics.moments import Array

# Draws: as many as the eigenvalues of matrices of the size at hand take about a second.
_WORK: Final = 100_000_000
_MOST: Final = 10_000
_FEWEST: Final = 100
# A first look, and how many standard deviations below all of it an entropy is beyond doubt: about seven below the mean.
# Of fewer taps the tail is longer, and all draws cost nothing.
_FEW: Final = 400
_FAR: Final = 4
_FAR_TAPS: Final = 9
# Larger matrices than this are not drawn: seconds a layer.
MAX_RANK: Final = 256
# From so many kernels a tap on, one simulation serves a range of n, see `null_entropies`.
_EXACT: Final = 32
_STEP: Final = 2 ** (1 / 8)


def simulate_entropies(n_kernels: int, taps: int, draws: int, random: np.random.Generator) -> Array:
    """Draw the variance entropy (base 10) of layers of independent normal numbers, [draws].

    The scatter of n such kernels is Wishart with n - 1 degrees of freedom, which is drawn itself, by Bartlett's
    decomposition (1933): A A^T with A lower triangular, its diagonal chi of n - 1, n - 2, ... degrees, all else normal.
    The cost does not depend on n. Up to `taps` kernels it is singular; then the n - 1 by taps normal matrix is drawn.
    Raises ValueError for fewer than two kernels or taps.
    """
    if n_kernels < 2 or taps < 2:
        raise ValueError(f"{n_kernels} kernels of {taps} taps have no variance entropy")
    freedom = n_kernels - 1
    if freedom >= taps:
        root = np.tril(random.standard_normal((draws, taps, taps)), -1)
        diagonal = np.sqrt(random.chisquare(freedom - np.arange(taps), (draws, taps)))
        root[:, np.arange(taps), np.arange(taps)] = diagonal
    else:
        root = random.standard_normal((draws, freedom, taps))
    shares = np.linalg.eigvalsh(root @ np.swapaxes(root, 1, 2))
    shares = np.maximum(shares, 0)
    shares /= shares.sum(1, keepdims=True)
    found: Array = -(shares * np.log10(np.where(shares > 0, shares, 1.0))).sum(1)
    return np.maximum(found, 0)


def _draws(n_kernels: int, taps: int) -> int:
    rank = min(taps, n_kernels - 1)
    return min(_MOST, max(_FEWEST, _WORK // (rank**3 + taps * rank)))


class EntropyNull:
    """The null distributions of variance entropies, drawn once for each (n, taps) and kept.

    One simulation serves all n within half an eighth of an octave, from 32 kernels a tap on: how far the entropy stays
    below its maximum is, but for terms of order taps / n, proportional to 1 / (n - 1), so the drawn deficits are scaled
    by (m - 1) / (n - 1) from the m of the grid. What is left, at most 4.4 % of that order, moves a p-value near 0.05 by
    less than the Monte-Carlo error of the 10,000 draws for nine taps. Below that, every n has its own draws.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._drawn = lru_cache(maxsize=None)(self._draw)

    def sample(self, n_kernels: int, taps: int, draws: int = _MOST) -> Array | None:
        """Return drawn entropies in ascending order, at most `draws`; None where it is undefined or too much work.

        Two kernels differ in one direction only: their entropy is zero whatever they are. Matrices of rank above 256
        take seconds a layer.
        """
        rank = min(taps, n_kernels - 1)
        if not 1 < rank <= MAX_RANK:
            return None
        if n_kernels <= _EXACT * taps:
            return self._drawn(n_kernels, taps, draws)
        at = round(_STEP ** round(math.log(n_kernels) / math.log(_STEP)))
        top = math.log10(taps)
        scaled: Array = top - (top - self._drawn(at, taps, draws)) * (at - 1) / (n_kernels - 1)
        return scaled

    def _draw(self, n_kernels: int, taps: int, draws: int) -> Array:
        draws = min(draws, _draws(n_kernels, taps))
        return np.sort(simulate_entropies(n_kernels, taps, draws, np.random.default_rng([self._seed, n_kernels, taps])))

    def p_values(self, entropy: float | None, n_kernels: int, taps: int) -> tuple[float | None, float | None]:
        """Return the shares of random layers with at most and with at least this entropy; None where undefined.

        A small first value: the kernels have structure. A small second one: their variances are more even than those of
        random numbers, as after orthogonal initialisation. The layer itself counts among the draws, so none is zero.
        A layer that is far from a few hundred draws, as most trained ones are, has the smallest value that all draws
        could give: more would say nothing else.
        """
        few = self.sample(n_kernels, taps, _FEW) if entropy is not None else None
        if few is None or entropy is None:
            return None, None
        if taps >= _FAR_TAPS and entropy < few[0] - _FAR * few.std():
            return 1 / (1 + _draws(n_kernels, taps)), 1.0
        drawn = self.sample(n_kernels, taps)
        assert drawn is not None  # as few were not
        # An entropy equal to a drawn one but for rounding counts as equal.
        below = np.searchsorted(drawn, entropy + 1e-12, side="right")
        above = len(drawn) - np.searchsorted(drawn, entropy - 1e-12, side="left")
        return (1 + int(below)) / (1 + len(drawn)), (1 + int(above)) / (1 + len(drawn))

    def quantile(self, share: float, n_kernels: int, taps: int) -> float | None:
        """Return the entropy that this share of random layers stays below, from a first look: for a picture."""
        drawn = self.sample(n_kernels, taps, _FEW)
        return None if drawn is None else float(np.quantile(drawn, share))
