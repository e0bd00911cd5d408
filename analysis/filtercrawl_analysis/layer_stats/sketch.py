"""The sketch of a layer: sums that merge exactly, so that analyses of groups of layers need no kernels."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.dlpack import from_dlpack

from filtercrawl.api.measure import LayerSummary
from filtercrawl_analysis.layer_stats.layer_sums import BinnedBasis, LayerSums, ScaledSums
from filtercrawl_analysis.layer_stats.moments import LayerMoments
from filtercrawl_analysis.numerics.covariance import KernelCovariance
from filtercrawl_analysis.numerics.dct import dct
from filtercrawl_analysis.numerics.dct_basis import (
    BINS,
    MAX_TAPS,
    dct_basis,
    frequencies,
    histogram_range,
    n_radial_bins,
    radial_bins,
)
from filtercrawl_analysis.numerics.scaling import scale_kernels

VERSION: Final = 1
# Coefficients that are zero but for rounding lie on an edge between bins. Lowering the edges by this fraction of a bin
# puts all of them into the same bin, on every machine.
ROUNDING_MARGIN: Final = 2.0**-24


class LayerSketch(LayerMoments):
    """The sketch of one layer, in whatever parts its filters arrive; `finish` gives a row of the schema SKETCHES.

    Sums are float64 over the finite kernels, except `power_sums` (number, sum w, sum w^2, sum w^3, sum w^4) and
    `norm_l1`, which are over all finite weights.

    `radial_energy` is the sum of squared DCT-II coefficients over all kernels by radial frequency, one value for each
    bin of `dct_basis.radial_bins`.

    `raw_mean` and `raw_scatter` are the mean and the scatter matrix sum (k - mean)(k - mean)^T of the kernels as
    stored; `scaled_mean` and `scaled_scatter` those of the kernels scaled by `scaling.scale_kernels`. `histogram`
    counts each coefficient basis @ k (not centered) of the scaled kernels in 70 bins over `dct_basis.histogram_range`.
    These five are None above 49 taps.
    """

    powers = 4

    def __init__(self, layer: LayerSummary) -> None:
        super().__init__(layer)
        self.n_zero = 0
        self._kernel_size = tuple(layer.shape[2:])
        has_basis = layer.taps <= MAX_TAPS
        self._scaled_covariance = KernelCovariance(layer.taps) if has_basis else None
        self.binned_basis = binned_dct(self._kernel_size) if has_basis else None
        self._histogram: torch.Tensor | None = None
        self._energy: torch.Tensor | None = None

    def add_sums(self, sums: LayerSums) -> None:
        super().add_sums(sums)
        if sums.scaled is not None:
            self.add_scaled_sums(sums.scaled)

    def add_scaled_sums(self, sums: ScaledSums) -> None:
        """Add finite kernels of at most 49 taps by the sums of what they are when scaled."""
        assert self._scaled_covariance is not None
        self.n_zero += sums.n_zero
        self._scaled_covariance.merge(sums.n, sums.mean, sums.scatter)
        self._add_counts(from_dlpack(sums.histogram))

    def _add_columns(self, kernels: torch.Tensor, peaks: torch.Tensor, top: float) -> None:
        super()._add_columns(kernels, peaks, top)
        self.n_zero += int((peaks == 0).sum())
        basis = self.binned_basis
        if basis is not None and self._scaled_covariance is not None:
            scaled = scale_kernels(kernels, peaks, top).double()
            self._add_counts(_counts(basis, scaled))
            self._scaled_covariance.update(scaled.T)
        else:
            energy = dct(kernels.double(), self._kernel_size).square_().sum(1)
            self._energy = energy if self._energy is None else self._energy.add_(energy)

    def _add_counts(self, counts: torch.Tensor) -> None:
        self._histogram = counts if self._histogram is None else self._histogram.add_(counts)

    def finish(self) -> dict[str, Any]:
        """Return the row of the schema SKETCHES without layer_sha256."""
        taps = self.layer.taps
        return {
            "kernel": "x".join(map(str, self._kernel_size)),
            "taps": taps,
            "version": VERSION,
            "n_kernels": self.layer.n_kernels,
            "n_finite": self.n,
            "n_dead": self.n_dead,
            "n_zero": self.n_zero,
            "max_abs": float(self.layer.max_abs),
            "power_sums": self.power_sums,
            "norm_l1": self.norm_l1,
            "radial_energy": self._radial_energy().tolist(),
            **_packed_moments("raw", self.covariance if taps <= MAX_TAPS else None),
            **_packed_moments("scaled", self._scaled_covariance),
            "histogram": self._histogram_counts(),
        }

    def _histogram_counts(self) -> list[int] | None:
        if self.binned_basis is None:
            return None
        if self._histogram is None:
            return [0] * (self.layer.taps * BINS)
        counts: list[int] = np.from_dlpack(self._histogram.cpu()).tolist()
        return counts

    def _radial_energy(self) -> NDArray[np.float64]:
        if self._energy is not None:
            return _sum_by_radius(radial_bins(self._kernel_size).ravel(), self._energy.cpu().numpy())
        if self.binned_basis is None or self.covariance is None:
            return np.zeros(n_radial_bins(self._kernel_size))
        # With few taps the covariance already holds it: no second pass over the kernels.
        basis, covariance = self.binned_basis.rows, self.covariance
        centered_energy = np.maximum(((basis @ covariance.scatter) * basis).sum(1), 0)
        bins, rows = _bins_and_rows(self._kernel_size)
        energy = np.empty(self.layer.taps)
        energy[rows] = centered_energy + covariance.n * np.square(basis @ covariance.mean)
        return _sum_by_radius(bins, energy)


@cache
def binned_dct(kernel_size: tuple[int, ...]) -> BinnedBasis:
    """Return the basis of a kernel size, with the bins of histograms of sketches."""
    low, high = histogram_range(math.prod(kernel_size))
    margin = ROUNDING_MARGIN * (high - low) / BINS
    return BinnedBasis(rows=dct_basis(kernel_size), low=low - margin, high=high - margin, bins=BINS)


def _counts(basis: BinnedBasis, scaled: torch.Tensor) -> torch.Tensor:
    """Count the coefficients of scaled kernels, float64 columns [taps, n]; int64 [taps * bins].

    One product gives the numbers of the bins; rounding leads at most one bin beyond the first and the last.
    """
    places, padded = torch.from_numpy(basis.places).to(scaled.device), basis.bins + 2
    first = torch.arange(1, len(places) * padded, padded, device=scaled.device)[:, None]
    bins = torch.addmm(places[:, :1] + first, places[:, 1:], scaled).to(torch.int32)
    counts = torch.bincount(bins.view(-1), minlength=len(places) * padded).view(-1, padded)
    counts[:, 1] += counts[:, 0]
    counts[:, -2] += counts[:, -1]
    return counts[:, 1:-1].reshape(-1)


def _sum_by_radius(bins: NDArray[np.int64], energy: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.bincount(bins, energy).astype(np.float64)


@cache  # few sizes: those that have a basis
def _bins_and_rows(kernel_size: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Return the radial bins of frequencies in row-major order, and the place there of each row of the basis."""
    rows = np.ravel_multi_index(tuple(frequencies(kernel_size).T), kernel_size)
    return radial_bins(kernel_size).ravel(), np.asarray(rows, np.intp)


def _packed_moments(name: str, covariance: KernelCovariance | None) -> dict[str, list[float] | None]:
    if covariance is None:
        return {f"{name}_mean": None, f"{name}_scatter": None}
    upper = covariance.scatter[np.triu_indices(covariance.taps)]
    return {f"{name}_mean": covariance.mean.tolist(), f"{name}_scatter": upper.tolist()}
