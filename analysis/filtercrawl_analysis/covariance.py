"""The covariance of a layer's kernels, gathered while they stream by, and the entropy of its variances."""

from __future__ import annotations

import math

import torch

# A square matrix of taps: 8 MiB of float64 at this size. Larger kernels are convolutions in name only.
MAX_TAPS = 1024


class KernelCovariance:
    """Sum and Gram matrix of kernels of `taps` numbers, in float64, on the device of the kernels.

    Both are taken around the first kernel: the rounding error of a Gram matrix grows with the squared
    distance of the data from the origin, and weights may lie 1000 standard deviations away from it. The error
    that is left is at most n * 2^-53 of the total variance, whichever kernel comes first.
    """

    def __init__(self, taps: int) -> None:
        self.taps = taps
        self.n = 0
        self._pivot: torch.Tensor | None = None
        self._sum: torch.Tensor | None = None
        self._gram: torch.Tensor | None = None

    def update(self, kernels: torch.Tensor) -> None:
        """Take kernels as columns: float64 [taps, k], all finite."""
        if kernels.shape[1] == 0:
            return
        if self._pivot is None or self._sum is None or self._gram is None:
            self._pivot = kernels[:, :1].clone()
            self._sum = torch.zeros(self.taps, dtype=torch.float64, device=kernels.device)
            self._gram = torch.zeros(self.taps, self.taps, dtype=torch.float64, device=kernels.device)
        centred = kernels - self._pivot
        self.n += centred.shape[1]
        self._sum += centred.sum(1)
        self._gram.addmm_(centred, centred.T)

    def variances(self) -> torch.Tensor | None:
        """Return the eigenvalues of the covariance (divisor n - 1), float64 [taps], ascending, on the CPU.

        None where there are fewer than two kernels.
        """
        if self.n < 2 or self._sum is None or self._gram is None:
            return None
        covariance = (self._gram - torch.outer(self._sum, self._sum) / self.n) / (self.n - 1)
        variances: torch.Tensor = torch.linalg.eigvalsh(covariance.cpu())
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
