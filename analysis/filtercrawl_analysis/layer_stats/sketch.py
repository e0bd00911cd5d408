"""What is kept of a layer instead of its weights: sums that merge, so that groups of layers need no kernel again."""

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
# Coefficients that are zero but for rounding lie on an edge of the histogram; lowered by this much of a bin, it has
# them all on one side, on every machine.
ROUNDING_MARGIN: Final = 2.0**-24


class LayerSketch(LayerMoments):
    """The sketch of one layer, whatever parts its filters come in; columns as in the schema SKETCHES.

    Sums are float64 and over the kernels without NaN and infinities, but for `power_sums` (number, sum w, sum w^2,
    sum w^3, sum w^4) and `norm_l1`, which are over all finite weights. `radial_energy` is the energy, that is the sum
    of squares over all kernels, of their coefficients in the DCT-II, a number a bin of `basis.radial_bins`.

    `raw_mean` and `raw_scatter` are of the kernels as stored, `scaled_mean`, `scaled_scatter` and `histogram` of those
    that `scaling.scaled` gives: mean, sum (k - mean)(k - mean)^T, and how often each coefficient basis @ k (uncentred)
    falls into each of 70 bins over `basis.histogram_range`. They are None above 49 taps.
    """

    powers = 4

    def __init__(self, layer: LayerSummary) -> None:
        super().__init__(layer)
        self.n_zero = 0
        self._kernel_size = tuple(layer.shape[2:])
        few = layer.taps <= MAX_TAPS
        self._scaled = KernelCovariance(layer.taps) if few else None
        self._basis = torch.from_numpy(dct_basis(self._kernel_size)) if few else None
        self._histogram: torch.Tensor | None = None
        self._energy: torch.Tensor | None = None

    def update(self, weight: torch.Tensor) -> None:
        super().update(weight)
        if weight.numel() == 0:
            return
        for chunk in column_chunks(weight.reshape(-1, self.layer.taps)):
            kernels, peaks, top = finite_columns(chunk)
            if len(peaks):
                self.n_zero += int((peaks == 0).sum())
                self._look(kernels, peaks, top)

    def _look(self, kernels: torch.Tensor, peaks: torch.Tensor, top: float) -> None:
        """Take finite kernels as columns, their largest magnitudes and that of all."""
        if self._basis is not None and self._scaled is not None:
            small = scale_kernels(kernels, peaks, top).double()
            self._count(self._basis, small)
            self._scaled.update(small.T)
        else:
            energy = dct(kernels.double(), self._kernel_size).square_().sum(1)
            self._energy = energy if self._energy is None else self._energy.add_(energy)

    def _count(self, basis: torch.Tensor, small: torch.Tensor) -> None:
        low, high = histogram_range(self.layer.taps)
        shift = ROUNDING_MARGIN * (high - low) / BINS
        counts = bin_counts(basis.to(small.device) @ small, low - shift, high - shift, BINS)
        self._histogram = counts if self._histogram is None else self._histogram.add_(counts)

    def finish(self) -> dict[str, Any]:
        """Return the row of SKETCHES, without layer_sha256."""
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
            **_packed("raw", self.covariance if taps <= MAX_TAPS else None),
            **_packed("scaled", self._scaled),
            "histogram": self._counts(),
        }

    def _counts(self) -> list[int] | None:
        if self._basis is None:
            return None
        return [0] * (self.layer.taps * BINS) if self._histogram is None else self._histogram.tolist()

    def _radial_energy(self) -> NDArray[np.float64]:
        bins = radial_bins(self._kernel_size).ravel()
        if self._energy is not None:
            energy: NDArray[np.float64] = self._energy.cpu().numpy()
        elif self._basis is not None and self.covariance is not None:
            # Of few taps the scatter has it: no second look at the kernels.
            rows, found = self._basis.numpy(), self.covariance
            spread = np.maximum(((rows @ found.scatter) * rows).sum(1), 0)
            energy = np.empty(self.layer.taps)
            energy[_places(self._kernel_size)] = spread + found.n * np.square(rows @ found.mean)
        else:
            energy = np.zeros(self.layer.taps)
        return np.bincount(bins, energy).astype(np.float64)


def _places(kernel_size: tuple[int, ...]) -> NDArray[np.intp]:
    """Where the rows of the basis lie among row-major frequencies."""
    places = np.ravel_multi_index(tuple(frequencies(kernel_size).T), kernel_size)
    return np.asarray(places, np.intp)


def _packed(name: str, covariance: KernelCovariance | None) -> dict[str, list[float] | None]:
    if covariance is None:
        return {f"{name}_mean": None, f"{name}_scatter": None}
    upper = covariance.scatter[np.triu_indices(covariance.taps)]
    return {f"{name}_mean": covariance.mean.tolist(), f"{name}_scatter": upper.tolist()}
