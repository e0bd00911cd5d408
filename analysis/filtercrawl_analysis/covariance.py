"""The covariance of a layer's kernels, gathered while they stream by, and the entropy of its variances."""

from __future__ import annotations

import math

import torch

# A square matrix of taps: 8 MiB of float64 at this size. Larger kernels are convolutions in name only.
MAX_TAPS = 1024


def gram(rows: torch.Tensor) -> torch.Tensor:
    """Return the products of all pairs of rows [n, k], [n, n]: rows @ rows.T.

    On the CPU by numpy, which multiplies one half and mirrors it: torch knows no such product.
    """
    if rows.device.type != "cpu":
        return rows @ rows.T
    array = rows.numpy()
    return torch.from_numpy(array @ array.T)


class KernelCovariance:
    """Number, mean and scatter sum (k - mean)(k - mean)^T of kernels of `taps` numbers, in float64, on their device.

    Each chunk is taken around its own mean and merged with those before (Chan, Golub, LeVeque 1979): the rounding
    error of a scatter grows with the squared distance of the data from the origin, and weights may lie 1000 standard
    deviations away from it. Equal kernels have a scatter of exactly zero.
    """

    def __init__(self, taps: int) -> None:
        self.taps = taps
        self.n = 0
        self.mean: torch.Tensor | None = None
        self.scatter: torch.Tensor | None = None

    def update(self, kernels: torch.Tensor) -> None:
        """Take kernels as columns: float64 [taps, k], all finite; they are changed."""
        k = kernels.shape[1]
        if k == 0:
            return
        mean = kernels.sum(1).div_(k)
        kernels -= mean[:, None]
        scatter = gram(kernels)
        if self.mean is None or self.scatter is None:
            self.n, self.mean, self.scatter = k, mean, scatter
            return
        between = mean.sub_(self.mean)
        self.scatter += scatter
        self.scatter.addr_(between, between, alpha=self.n * k / (self.n + k))
        self.n += k
        self.mean += between.mul_(k / self.n)

    def variances(self) -> torch.Tensor | None:
        """Return the eigenvalues of the covariance (divisor n - 1), float64 [taps], ascending, on the CPU.

        None where there are fewer than two kernels.
        """
        if self.n < 2 or self.scatter is None:
            return None
        variances: torch.Tensor = torch.linalg.eigvalsh((self.scatter / (self.n - 1)).cpu())
        return variances.clamp_(min=0)

    def entropy(self) -> tuple[float | None, float | None]:
        """Return the variance entropy of CNN Filter DB (arXiv 2203.15331), and the same scaled to [0, 1].

        H = -sum p_i log10 p_i with p = variances / their sum and 0 log 0 = 0. Its largest value depends on
        how many variances can differ from zero: the second number is H / log10(min(taps, n - 1)). Both None
        for fewer than two kernels, one tap, or no variance; the second also for two kernels, whose one
        variance leaves nothing to compare.
        """
        variances = self.variances()
        if variances is None or self.taps < 2:
            return None, None
        total = float(variances.sum())
        if total <= 0:
            return None, None
        shares = variances / total
        entropy = max(0.0, -float(torch.special.xlogy(shares, shares).sum()) / math.log(10))
        rank = min(self.taps, self.n - 1)
        return entropy, min(1.0, entropy / math.log10(rank)) if rank > 1 else None
