"""The covariance of a layer's kernels, gathered while they stream by, and the entropy of its variances."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl_analysis.numerics.gram import gram

# A square matrix of taps: 8 MiB of float64 at this size. Larger kernels are convolutions in name only.
MAX_TAPS = 1024


class KernelCovariance:
    """Number, mean [taps] and scatter sum (k - mean)(k - mean)^T [taps, taps] of kernels of `taps` numbers, float64.

    The rounding error of a scatter grows with the squared distance of the data from the origin, and weights may lie
    1000 standard deviations away from it. So only chunks whose kernels lie around zero are taken around zero; any other
    is taken around its own mean; and chunks are merged by Chan, Golub, LeVeque 1979. Equal kernels have a scatter of
    exactly zero.
    """

    def __init__(self, taps: int) -> None:
        self.taps = taps
        self.n = 0
        # numpy's: of so few numbers its operations take a third of the time of torch's.
        self.mean = np.zeros(taps)
        self.scatter = np.zeros((taps, taps))

    def update(self, kernels: torch.Tensor) -> None:
        """Take kernels as rows: float64 [k, taps] of any strides, all finite; they may be changed."""
        k = len(kernels)
        if k == 0:
            return
        mean = kernels.sum(0).cpu().numpy() / k
        scatter = gram(kernels.T).cpu().numpy()
        squares = k * mean * mean
        # A sum of squares of which the mean is no more than half loses a bit at most when that is taken away.
        if (2 * squares <= scatter.diagonal()).all():
            scatter -= k * mean[:, None] * mean
        else:
            kernels -= torch.from_numpy(mean).to(kernels.device)
            scatter = gram(kernels.T).cpu().numpy()
        self.merge(k, mean, scatter)

    def merge(self, k: int, mean: NDArray[np.float64], scatter: NDArray[np.float64]) -> None:
        """Take k > 0 kernels by their mean [taps] and scatter [taps, taps], which is changed."""
        between = mean - self.mean
        scatter += self.n * k / (self.n + k) * between[:, None] * between
        self.scatter += scatter
        self.n += k
        self.mean += k / self.n * between

    def power_sums(self) -> tuple[float, float]:
        """Return the sum of all numbers of the kernels, and that of their squares."""
        return self.n * float(self.mean.sum()), float(self.scatter.trace() + self.n * (self.mean @ self.mean))

    def eigenvalues(self) -> NDArray[np.float64] | None:
        """Return the eigenvalues of the covariance (divisor n - 1), float64 [taps], ascending.

        None where there are fewer than two kernels.
        """
        if self.n < 2:
            return None
        return np.asarray(np.linalg.eigvalsh(self.scatter / (self.n - 1)).clip(min=0), np.float64)

    def variance_entropy(self) -> tuple[float | None, float | None]:
        """Return the variance entropy of CNN Filter DB (arXiv 2203.15331), and the same scaled to [0, 1].

        H = -sum p_i log10 p_i with p = variances / their sum and 0 log 0 = 0. Its largest value depends on
        how many variances can differ from zero: the second number is H / log10(min(taps, n - 1)). Both None
        for fewer than two kernels, one tap, or no variance; the second also for two kernels, whose one
        variance leaves nothing to compare.
        """
        variances = self.eigenvalues()
        if variances is None or self.taps < 2:
            return None, None
        total = float(variances.sum())
        if total <= 0:
            return None, None
        shares = variances / total
        shares = shares[shares > 0]
        entropy = max(0.0, -float(shares @ np.log10(shares)))
        rank = min(self.taps, self.n - 1)
        return entropy, min(1.0, entropy / math.log10(rank)) if rank > 1 else None
