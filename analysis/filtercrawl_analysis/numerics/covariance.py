"""Streaming covariance of a layer's kernels, and the entropy of its eigenvalues."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl_analysis.numerics.gram import gram

# The scatter matrix takes 8 MiB of float64 at this size. Larger kernels are convolutions in name only.
MAX_TAPS = 1024


class KernelCovariance:
    """Count, mean and scatter matrix of kernels, accumulated in float64 chunk by chunk.

    The rounding error of a scatter matrix grows with the squared distance of the data from the origin, and weights may
    lie 1000 standard deviations away from it. A chunk is therefore accumulated around zero only if its kernels lie
    around zero, and around its own mean otherwise. Chunks are merged by the pairwise update of Chan, Golub and LeVeque
    (1979). Equal kernels have a scatter of exactly zero.

    Attributes:
        taps: Weights per kernel.
        n: Number of kernels.
        mean: Mean kernel, float64 [taps].
        scatter: Sum of (k - mean)(k - mean)^T over the kernels k, float64 [taps, taps].
    """

    def __init__(self, taps: int) -> None:
        self.taps = taps
        self.n = 0
        # numpy in place of torch: on arrays this small, its operations take a third of the time.
        self.mean = np.zeros(taps)
        self.scatter = np.zeros((taps, taps))

    def update(self, kernels: torch.Tensor) -> None:
        """Add a chunk of kernels.

        Args:
            kernels: Kernels as rows, float64 [k, taps], any strides, all finite. May be modified.
        """
        k = len(kernels)
        if k == 0:
            return
        mean = kernels.sum(0).cpu().numpy() / k
        scatter = gram(kernels.T).cpu().numpy()
        squared_mean = k * mean * mean
        # Subtracting the mean part costs at most one bit where it is no more than half of the sum of squares.
        if (2 * squared_mean <= scatter.diagonal()).all():
            scatter -= k * mean[:, None] * mean
        else:
            kernels -= torch.from_numpy(mean).to(kernels.device)
            scatter = gram(kernels.T).cpu().numpy()
        self.merge(k, mean, scatter)

    def merge(self, k: int, mean: NDArray[np.float64], scatter: NDArray[np.float64]) -> None:
        """Add k > 0 kernels by their moments.

        Args:
            k: Number of kernels.
            mean: Their mean, float64 [taps].
            scatter: Their scatter matrix around that mean, float64 [taps, taps]. Is modified.
        """
        delta = mean - self.mean
        scatter += self.n * k / (self.n + k) * delta[:, None] * delta
        self.scatter += scatter
        self.n += k
        self.mean += k / self.n * delta

    def power_sums(self) -> tuple[float, float]:
        """Return the sum of all weights, and the sum of their squares."""
        return self.n * float(self.mean.sum()), float(self.scatter.trace() + self.n * (self.mean @ self.mean))

    def eigenvalues(self) -> NDArray[np.float64] | None:
        """Return the eigenvalues of the covariance matrix (divisor n - 1), float64 [taps], in ascending order.

        None for fewer than two kernels.
        """
        if self.n < 2:
            return None
        return np.asarray(np.linalg.eigvalsh(self.scatter / (self.n - 1)).clip(min=0), np.float64)

    def variance_entropy(self) -> tuple[float | None, float | None]:
        """Return the variance entropy of CNN Filter DB (arXiv 2203.15331) and its normalized form in [0, 1].

        H = -sum_i p_i log10 p_i, where p_i are the eigenvalues of the covariance divided by their sum, and
        0 log 0 = 0. At most min(taps, n - 1) eigenvalues can differ from zero, so the normalized form is
        H / log10(min(taps, n - 1)).

        Returns:
            Both values. Both are None for fewer than two kernels, for one tap, or without variance. The normalized one
            is also None for two kernels, which have a single direction of variance.
        """
        eigenvalues = self.eigenvalues()
        if eigenvalues is None or self.taps < 2:
            return None, None
        total = float(eigenvalues.sum())
        if total <= 0:
            return None, None
        p = eigenvalues / total
        p = p[p > 0]
        entropy = max(0.0, -float(p @ np.log10(p)))
        rank = min(self.taps, self.n - 1)
        return entropy, min(1.0, entropy / math.log10(rank)) if rank > 1 else None
