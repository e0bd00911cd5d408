"""Counts, power sums and covariance of one layer's kernels in a single pass."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl.api.measure import LayerSummary
from filtercrawl_analysis.layer_stats.numba_kernels import LayerSums, layer_sums, should_compile
from filtercrawl_analysis.numerics.covariance import MAX_TAPS, KernelCovariance
from filtercrawl_analysis.numerics.scaling import kernels_per_chunk

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

    def __init__(self, layer: LayerSummary) -> None:
        self.layer = layer
        # Divided in float32, as numpy divides the maximum of a float32 array.
        self._threshold = float(np.float32(layer.max_abs) / np.float32(100)) if layer.max_abs else _SMALLEST_FLOAT32
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
        sums = layer_sums(kernels, self._threshold) if should_compile(self.layer, kernels.device) else None
        if sums is not None:
            self._add_sums(sums)
            return
        for chunk in torch.split(kernels, kernels_per_chunk(self.layer.taps)):
            self._add_chunk(chunk)

    def _add_sums(self, sums: LayerSums) -> None:
        assert self.covariance is not None
        self.n += sums.n
        self.n_dead += sums.n_dead
        self.norm_l1 += sums.norm_l1
        self._n_weights += sums.n * self.layer.taps
        self._power_sums[2] += sums.cubes
        self._power_sums[3] += sums.fourths
        self.covariance.merge(sums.n, sums.mean, sums.scatter)

    def _add_chunk(self, kernels: torch.Tensor) -> None:
        wide = kernels.double()
        norm_l1 = float(wide.abs().sum())
        self.n_dead += _count_below(kernels, self._threshold)
        if not math.isfinite(norm_l1):  # NaN propagates into the sum: this one check clears most chunks
            is_finite = kernels.isfinite().all(1)
            # Finite weights of kernels that are not finite count in the sums over weights alone.
            rest = wide[~is_finite]
            rest = rest[rest.isfinite()]
            self._add_powers(rest)
            self.norm_l1 += float(rest.abs().sum())
            wide = wide[is_finite]
            norm_l1 = float(wide.abs().sum())
        self.norm_l1 += norm_l1
        self.n += len(wide)
        self._add_powers(wide.view(-1), in_covariance=self.covariance is not None)
        if self.covariance is not None:
            self.covariance.update(wide)

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


def _count_below(kernels: torch.Tensor, threshold: float) -> int:
    """Count the kernels [k, taps] with every |w| < threshold; a kernel with NaN or an infinity has not."""
    # Two taps decide most kernels; numpy compares them in a third of torch's time.
    candidates = np.flatnonzero(
        _is_below(kernels[:, 0], threshold) & _is_below(kernels[:, kernels.shape[1] // 2], threshold)
    )
    if len(candidates) == 0:
        return 0
    return int((kernels[torch.from_numpy(candidates).to(kernels.device)].abs().amax(1) < threshold).sum())


def _is_below(weights: torch.Tensor, threshold: float) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = np.abs(weights.cpu().numpy()) < threshold
    return mask
