"""The sketch of a layer: sums that merge exactly, so that analyses of groups of layers need no kernels."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl.api.measure import LayerSummary
from filtercrawl_analysis.layer_stats.moments import LayerMoments
from filtercrawl_analysis.numerics.covariance import KernelCovariance
from filtercrawl_analysis.numerics.dct import dct
from filtercrawl_analysis.numerics.dct_basis import BINS, MAX_TAPS, dct_basis, frequencies, histogram_range, radial_bins
from filtercrawl_analysis.numerics.scaling import column_chunks, finite_columns, scale_kernels
from filtercrawl_analysis.numerics.streaming import bin_counts

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
        self._basis = torch.from_numpy(dct_basis(self._kernel_size)) if has_basis else None
        self._histogram: torch.Tensor | None = None
        self._energy: torch.Tensor | None = None

    def update(self, weight: torch.Tensor) -> None:
        """Add the next output channels, [out, in_channels/groups, *kernel_size], on any device that has float64."""
        super().update(weight)
        if weight.numel() == 0:
            return
        for chunk in column_chunks(weight.reshape(-1, self.layer.taps)):
            kernels, peaks, top = finite_columns(chunk)
            if len(peaks):
                self.n_zero += int((peaks == 0).sum())
                self._add_columns(kernels, peaks, top)

    def _add_columns(self, kernels: torch.Tensor, peaks: torch.Tensor, top: float) -> None:
        """Add finite kernels as columns; the arguments are the result of `finite_columns`."""
        if self._basis is not None and self._scaled_covariance is not None:
            scaled = scale_kernels(kernels, peaks, top).double()
            self._add_to_histogram(self._basis, scaled)
            self._scaled_covariance.update(scaled.T)
        else:
            energy = dct(kernels.double(), self._kernel_size).square_().sum(1)
            self._energy = energy if self._energy is None else self._energy.add_(energy)

    def _add_to_histogram(self, basis: torch.Tensor, scaled: torch.Tensor) -> None:
        low, high = histogram_range(self.layer.taps)
        margin = ROUNDING_MARGIN * (high - low) / BINS
        counts = bin_counts(basis.to(scaled.device) @ scaled, low - margin, high - margin, BINS)
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
        if self._basis is None:
            return None
        return [0] * (self.layer.taps * BINS) if self._histogram is None else self._histogram.tolist()

    def _radial_energy(self) -> NDArray[np.float64]:
        bins = radial_bins(self._kernel_size).ravel()
        if self._energy is not None:
            energy: NDArray[np.float64] = self._energy.cpu().numpy()
        elif self._basis is not None and self.covariance is not None:
            # With few taps the covariance already holds it: no second pass over the kernels.
            basis, covariance = self._basis.numpy(), self.covariance
            centered_energy = np.maximum(((basis @ covariance.scatter) * basis).sum(1), 0)
            energy = np.empty(self.layer.taps)
            energy[_row_major_indices(self._kernel_size)] = centered_energy + covariance.n * np.square(
                basis @ covariance.mean
            )
        else:
            energy = np.zeros(self.layer.taps)
        return np.bincount(bins, energy).astype(np.float64)


def _row_major_indices(kernel_size: tuple[int, ...]) -> NDArray[np.intp]:
    """Return the index of each row of the basis among the frequencies in row-major order."""
    indices = np.ravel_multi_index(tuple(frequencies(kernel_size).T), kernel_size)
    return np.asarray(indices, np.intp)


def _packed_moments(name: str, covariance: KernelCovariance | None) -> dict[str, list[float] | None]:
    if covariance is None:
        return {f"{name}_mean": None, f"{name}_scatter": None}
    upper = covariance.scatter[np.triu_indices(covariance.taps)]
    return {f"{name}_mean": covariance.mean.tolist(), f"{name}_scatter": upper.tolist()}
