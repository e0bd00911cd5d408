"""The null distribution of variance entropy: layers of random weights, by simulation, for any size."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np

from filtercrawl_analysis.numerics.moments import Array

# Draws per distribution: as many as take about a second for matrices of the size at hand.
_WORK: Final = 100_000_000
_MAX_DRAWS: Final = 10_000
_MIN_DRAWS: Final = 100
# Draws of a first, small sample. An entropy of four standard deviations below its minimum, about seven below the mean,
# needs no more draws.
_FIRST_DRAWS: Final = 400
_CLEARLY_BELOW: Final = 4
# With fewer taps the tail is longer, and all draws are cheap.
_MIN_TAPS_FOR_FIRST: Final = 9
# Larger matrices are not simulated: they take seconds a layer.
MAX_RANK: Final = 256
# From so many kernels per tap on, one simulation serves a range of n, see `EntropyNull`.
_MAX_EXACT_RATIO: Final = 32
_GRID_STEP: Final = 2 ** (1 / 8)


def simulate_entropies(n_kernels: int, taps: int, draws: int, random: np.random.Generator) -> Array:
    """Draw the variance entropy (base 10) of layers of independent normal weights.

    The scatter matrix of n such kernels has a Wishart distribution with n - 1 degrees of freedom. It is drawn directly
    by Bartlett's decomposition (1933): A A^T with A lower triangular, where the diagonal is chi with n - 1, n - 2, ...
    degrees of freedom and the rest is standard normal. The cost does not depend on n. For n <= taps the matrix is
    singular; then an (n - 1) x taps normal matrix is drawn.

    Args:
        n_kernels: Kernels per layer.
        taps: Weights per kernel.
        draws: Number of layers.
        random: Source of random numbers.

    Returns:
        Entropies [draws].

    Raises:
        ValueError: There are fewer than two kernels or taps.
    """
    if n_kernels < 2 or taps < 2:
        raise ValueError(f"{n_kernels} kernels of {taps} taps have no variance entropy")
    degrees = n_kernels - 1
    if degrees >= taps:
        root = np.tril(random.standard_normal((draws, taps, taps)), -1)
        diagonal = np.sqrt(random.chisquare(degrees - np.arange(taps), (draws, taps)))
        root[:, np.arange(taps), np.arange(taps)] = diagonal
    else:
        root = random.standard_normal((draws, degrees, taps))
    p = np.linalg.eigvalsh(root @ np.swapaxes(root, 1, 2))
    p = np.maximum(p, 0)
    p /= p.sum(1, keepdims=True)
    entropies: Array = -(p * np.log10(np.where(p > 0, p, 1.0))).sum(1)
    return np.maximum(entropies, 0)


def _draws_for(n_kernels: int, taps: int) -> int:
    rank = min(taps, n_kernels - 1)
    return min(_MAX_DRAWS, max(_MIN_DRAWS, _WORK // (rank**3 + taps * rank)))


class EntropyNull:
    """Null distributions of variance entropy, simulated once for each (n, taps) and cached.

    From 32 kernels per tap on, one simulation serves all n within half an eighth of an octave. The distance of the
    entropy from its maximum is proportional to 1 / (n - 1) up to terms of order taps / n, so the distances simulated
    for m kernels are scaled by (m - 1) / (n - 1). The remaining error, at most 4.4 % of that order, changes a p-value
    near 0.05 by less than the Monte Carlo error of the 10,000 draws for nine taps. Below that, every n is simulated.
    """

    def __init__(self, seed: int = 0) -> None:
        """Create an empty cache; equal seeds give equal distributions."""
        self._seed = seed
        self._simulated = lru_cache(maxsize=None)(self._simulate)

    def sample(self, n_kernels: int, taps: int, draws: int = _MAX_DRAWS) -> Array | None:
        """Return simulated entropies of layers of random weights in ascending order.

        Args:
            n_kernels: Kernels per layer.
            taps: Weights per kernel.
            draws: The most draws to return.

        Returns:
            Entropies [at most draws]. None for up to two kernels, whose entropy is zero whatever they are, and above
            rank 256.
        """
        rank = min(taps, n_kernels - 1)
        if not 1 < rank <= MAX_RANK:
            return None
        if n_kernels <= _MAX_EXACT_RATIO * taps:
            return self._simulated(n_kernels, taps, draws)
        grid_n = round(_GRID_STEP ** round(math.log(n_kernels) / math.log(_GRID_STEP)))
        maximum = math.log10(taps)
        scaled: Array = maximum - (maximum - self._simulated(grid_n, taps, draws)) * (grid_n - 1) / (n_kernels - 1)
        return scaled

    def _simulate(self, n_kernels: int, taps: int, draws: int) -> Array:
        draws = min(draws, _draws_for(n_kernels, taps))
        return np.sort(simulate_entropies(n_kernels, taps, draws, np.random.default_rng([self._seed, n_kernels, taps])))

    def p_values(self, entropy: float | None, n_kernels: int, taps: int) -> tuple[float | None, float | None]:
        """Return one-sided p-values of an entropy.

        The layer itself counts as a draw, so no p-value is zero. An entropy far below a first sample of 400 draws, as
        that of most trained layers, gets the smallest p-value that all draws could give.

        Args:
            entropy: The variance entropy of a layer.
            n_kernels: Its kernels.
            taps: Weights per kernel.

        Returns:
            The shares of random layers with at most, and with at least, this entropy; both None where it is undefined.
            A small first value means that the kernels have structure; a small second one that their variances are more
            even than those of random weights, as after orthogonal initialization.
        """
        first = self.sample(n_kernels, taps, _FIRST_DRAWS) if entropy is not None else None
        if first is None or entropy is None:
            return None, None
        if taps >= _MIN_TAPS_FOR_FIRST and entropy < first[0] - _CLEARLY_BELOW * first.std():
            return 1 / (1 + _draws_for(n_kernels, taps)), 1.0
        sample = self.sample(n_kernels, taps)
        assert sample is not None  # as the first sample exists
        # An entropy equal to a simulated one but for rounding counts as equal.
        n_below = np.searchsorted(sample, entropy + 1e-12, side="right")
        n_above = len(sample) - np.searchsorted(sample, entropy - 1e-12, side="left")
        return (1 + int(n_below)) / (1 + len(sample)), (1 + int(n_above)) / (1 + len(sample))

    def quantile(self, share: float, n_kernels: int, taps: int) -> float | None:
        """Return a quantile of the entropy of random layers, from 400 draws: for figures."""
        sample = self.sample(n_kernels, taps, _FIRST_DRAWS)
        return None if sample is None else float(np.quantile(sample, share))
