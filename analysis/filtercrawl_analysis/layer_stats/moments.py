"""Counts, sums and covariance of one layer's kernels, of one look at them."""

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

# Every magnitude below it is zero: the least float32 there is.
_LEAST: Final = 2.0**-149


class LayerMoments:
    """Counts, sums and covariance of one layer's kernels as stored, whatever parts its filters come in.

    n, n_dead: of the kernels without NaN and infinities, those with every |w| < max |w| of the layer / 100, in float32
    (in a layer of zeros all). norm_l1: sum |w| of all finite weights. covariance: None above 1024 taps.
    """

    # How many of the sums of w, w^2, w^3, w^4 are wanted.
    powers = 2

    def __init__(self, layer: LayerSummary) -> None:
        self.layer = layer
        # Divided in float32, as numpy divides the maximum of a float32 array.
        self._threshold = float(np.float32(layer.max_abs) / np.float32(100)) if layer.max_abs else _LEAST
        self.covariance = KernelCovariance(layer.taps) if layer.taps <= MAX_TAPS else None
        self.n = self.n_dead = 0
        self.norm_l1 = 0.0
        self._number = 0
        # Of the powers, what the covariance does not tell.
        self._sums = [0.0] * 4

    def update(self, weight: torch.Tensor) -> None:
        """Take the next output channels: [out, in_channels/groups, *kernel_size] on any device that has float64."""
        if weight.numel() == 0:
            return
        kernels = weight.reshape(-1, self.layer.taps).float()
        found = layer_sums(kernels, self._threshold) if should_compile(self.layer, kernels.device) else None
        if found is not None:
            self._keep(found)
            return
        for chunk in torch.split(kernels, kernels_per_chunk(self.layer.taps)):
            self._take(chunk)

    def _keep(self, found: LayerSums) -> None:
        assert self.covariance is not None
        self.n += found.n
        self.n_dead += found.n_dead
        self.norm_l1 += found.norm_l1
        self._number += found.n * self.layer.taps
        self._sums[2] += found.cubes
        self._sums[3] += found.fourths
        self.covariance.merge(found.n, found.mean, found.scatter)

    def _take(self, kernels: torch.Tensor) -> None:
        wide = kernels.double()
        magnitudes = float(wide.abs().sum())
        self.n_dead += _number_within(kernels, self._threshold)
        if not math.isfinite(magnitudes):  # a NaN passes through: one cheap look clears most chunks
            sound = kernels.isfinite().all(1)
            lame = wide[~sound]
            lame = lame[lame.isfinite()]
            self._add(lame)
            self.norm_l1 += float(lame.abs().sum())
            wide = wide[sound]
            magnitudes = float(wide.abs().sum())
        self.norm_l1 += magnitudes
        self.n += len(wide)
        self._add(wide.view(-1), known=self.covariance is not None)
        if self.covariance is not None:
            self.covariance.update(wide)

    def _add(self, weights: torch.Tensor, *, known: bool = False) -> None:
        """Add finite float64 numbers [n] to the sums; known: whether the covariance has those of w and w^2."""
        self._number += len(weights)
        if not known:
            self._sums[0] += float(weights.sum())
            self._sums[1] += float(torch.dot(weights, weights))
        if self.powers == 4:
            squares = weights * weights
            self._sums[2] += float(torch.dot(squares, weights))
            self._sums[3] += float(torch.dot(squares, squares))

    @property
    def power_sums(self) -> list[float]:
        """Number of finite weights, and sums of their first powers, float64."""
        total, squares = (0.0, 0.0) if self.covariance is None else self.covariance.power_sums()
        sums = [self._sums[0] + total, self._sums[1] + squares, *self._sums[2:]]
        return [float(self._number), *sums[: self.powers]]


def _number_within(kernels: torch.Tensor, limit: float) -> int:
    """Return how many of the kernels [k, taps] have every |w| < limit; none that holds a NaN or an infinity has."""
    # Most are settled by a look at two of their taps, which numpy takes in a third of torch's time.
    near = np.flatnonzero(_within(kernels[:, 0], limit) & _within(kernels[:, kernels.shape[1] // 2], limit))
    if len(near) == 0:
        return 0
    return int((kernels[torch.from_numpy(near).to(kernels.device)].abs().amax(1) < limit).sum())


def _within(taps: torch.Tensor, limit: float) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.abs(taps.cpu().numpy()) < limit
    return found
