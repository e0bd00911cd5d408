"""Counts, power sums and covariance of one layer's kernels in a single pass."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch

from filtercrawl.api.measure import LayerSummary
from filtercrawl_analysis.layer_stats.layer_sums import BinnedBasis, LayerSums
from filtercrawl_analysis.layer_stats.numba_kernels import layer_sums, should_compile
from filtercrawl_analysis.numerics.covariance import MAX_TAPS, KernelCovariance
from filtercrawl_analysis.numerics.scaling import column_chunks, finite_columns

# The smallest positive float32: every magnitude below it is zero.
_SMALLEST_FLOAT32: Final = 2.0**-149


class LayerMoments:
    """Counts, power sums and covariance of one layer's kernels as stored, in whatever parts its filters arrive.

    Attributes:
        layer: What is known of the layer in advance.
        n: Kernels without NaN and infinities.
        n_dead: Those of them with every |w| < max |w| of the layer / 100, compared in float32. In a layer of zeros,
            all of them.
        norm_l1: Sum of |w| over all finite weights.
        covariance: Of the finite kernels; None above 1024 taps.
        powers: How many of the sums of w, w^2, w^3 and w^4 are wanted; set by subclasses.
    """

    powers = 2
    # Where subclasses want coefficients of scaled kernels to be counted.
    binned_basis: BinnedBasis | None = None

    def __init__(self, layer: LayerSummary) -> None:
        self.layer = layer
        self._threshold = dead_threshold(layer.max_abs)
        self.covariance = KernelCovariance(layer.taps) if layer.taps <= MAX_TAPS else None
        self.n = self.n_dead = 0
        self.norm_l1 = 0.0
        self._n_weights = 0
        # The parts of the sums of w, w^2, w^3 and w^4 that the covariance does not hold.
        self._power_sums = [0.0] * 4

    def update(self, weight: torch.Tensor) -> None:
        """Add the next output channels.

        Args:
            weight: [out, in_channels/groups, *kernel_size], on any device that has float64.
        """
        if weight.numel() == 0:
            return
        kernels = weight.reshape(-1, self.layer.taps).float()
        is_compiled = should_compile(self.layer, kernels.device)
        sums = layer_sums(kernels, self._threshold, self.binned_basis) if is_compiled else None
        if sums is None:
            self._add_by_passes(kernels)
        else:
            self.add_sums(sums)

    def _add_by_passes(self, kernels: torch.Tensor) -> None:
        """Add kernels, float32 [k, taps], of which some may not be finite."""
        for chunk in column_chunks(kernels):
            finite, peaks, top = finite_columns(chunk)
            if finite.shape[1] < chunk.shape[1]:
                self._add_rest(chunk)
            if len(peaks):
                self._add_columns(finite, peaks, top)

    def add_sums(self, sums: LayerSums) -> None:
        """Add finite kernels of at most 1024 taps by their sums."""
        assert self.covariance is not None
        self.n += sums.n
        self.n_dead += sums.n_dead
        self.norm_l1 += sums.norm_l1
        self._n_weights += sums.n * self.layer.taps
        self._power_sums[2] += sums.cubes
        self._power_sums[3] += sums.fourths
        self.covariance.merge(sums.n, sums.mean, sums.scatter)

    def _add_rest(self, chunk: torch.Tensor) -> None:
        """Add the finite weights of kernels that are not finite: they count in the sums over weights alone."""
        rest = chunk[:, ~chunk.isfinite().all(0)]
        rest = rest[rest.isfinite()].double()
        self.norm_l1 += float(rest.abs().sum())
        self._add_powers(rest)

    def _add_columns(self, kernels: torch.Tensor, peaks: torch.Tensor, top: float) -> None:  # noqa: ARG002 - subclasses
        """Add finite kernels as columns; the arguments are the result of `finite_columns`."""
        self.n += len(peaks)
        self.n_dead += int((peaks < self._threshold).sum())
        wide = kernels.double()
        self.norm_l1 += float(wide.abs().sum())
        self._add_powers(wide.view(-1), in_covariance=self.covariance is not None)
        if self.covariance is not None:
            self.covariance.update(wide.T)

    def _add_powers(self, weights: torch.Tensor, *, in_covariance: bool = False) -> None:
        """Add finite weights, float64 [n], to the power sums.

        Args:
            weights: The weights.
            in_covariance: Whether the covariance holds their sum and their sum of squares.
        """
        self._n_weights += len(weights)
        if not in_covariance:
            self._power_sums[0] += float(weights.sum())
            self._power_sums[1] += float(torch.dot(weights, weights))
        if self.powers == 4:
            squares = weights * weights
            self._power_sums[2] += float(torch.dot(squares, weights))
            self._power_sums[3] += float(torch.dot(squares, squares))

    @property
    def power_sums(self) -> list[float]:
        """The number of finite weights, and the sums of their first `powers` powers, in float64."""
        total, squares = (0.0, 0.0) if self.covariance is None else self.covariance.power_sums()
        sums = [self._power_sums[0] + total, self._power_sums[1] + squares, *self._power_sums[2:]]
        return [float(self._n_weights), *sums[: self.powers]]


def dead_threshold(max_abs: float) -> float:
    """Return the magnitude that a weight of a kernel must reach for the kernel not to be dead.

    Args:
        max_abs: Largest finite magnitude in the layer.
    """
    # Divided in float32, as numpy divides the maximum of a float32 array.
    return float(np.float32(max_abs) / np.float32(100)) if max_abs else _SMALLEST_FLOAT32
