"""What is kept of a layer instead of its weights: sums that merge, so that groups of layers need no kernel again."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl.measure import LayerSummary
from filtercrawl_analysis.basis import BINS, MAX_TAPS, basis, frequencies, histogram_range, radial_bins
from filtercrawl_analysis.covariance import MAX_TAPS as MAX_COVARIANCE_TAPS
from filtercrawl_analysis.covariance import KernelCovariance
from filtercrawl_analysis.passes import count
from filtercrawl_analysis.scaling import columns, finite, scaled
from filtercrawl_analysis.transform import transform

VERSION: Final = 1
# Coefficients that are zero but for rounding lie on an edge of the histogram; lowered by this much of a bin, it has
# them all on one side, on every machine.
NUDGE: Final = 2.0**-24


class LayerMoments:
    """Counts, sums and covariance of one layer's kernels as stored, whatever parts its filters come in.

    n, n_dead, n_zero: of the kernels without NaN and infinities, those with every |w| < max |w| of the layer / 100, in
    float32 (in a layer of zeros all), and those of zeros. covariance: None above 1024 taps.
    """

    # How many of the sums of w, w^2, w^3, w^4 are wanted.
    powers = 2

    def __init__(self, layer: LayerSummary) -> None:
        self.layer = layer
        # Divided in float32, as numpy divides the maximum of a float32 array.
        self._threshold = float(np.float32(layer.max_abs) / np.float32(100))
        self.covariance = KernelCovariance(layer.taps) if layer.taps <= MAX_COVARIANCE_TAPS else None
        self.n = self.n_dead = self.n_zero = 0
        self._number = 0
        # On the device of the kernels, made when that is known: sum |w|, then of the powers.
        self._sums: torch.Tensor | None = None

    def update(self, weight: torch.Tensor) -> None:
        """Take the next output channels: [out, in_channels/groups, *kernel_size] on any device that has float64."""
        if weight.numel() == 0:
            return
        for chunk in columns(weight.reshape(-1, self.layer.taps)):
            kernels, peaks, top = finite(chunk)
            if kernels.shape[1] < chunk.shape[1]:
                lame = chunk[:, ~chunk.isfinite().all(0)]
                self._add(lame[lame.isfinite()].double())
            if len(peaks):
                self._take(kernels, peaks, top)

    def _take(self, kernels: torch.Tensor, peaks: torch.Tensor, top: float) -> None:
        """Take finite kernels as columns, their largest magnitudes and that of all."""
        self.n += len(peaks)
        zero = int((peaks == 0).sum()) if float(peaks.min()) == 0 else 0
        self.n_zero += zero
        self.n_dead += int((peaks < self._threshold).sum()) if self.layer.max_abs else zero
        wide = kernels.to(torch.float64, memory_format=torch.contiguous_format)
        self._add(wide.view(-1))
        self._look(kernels, peaks, top, wide)
        if self.covariance is not None:
            self.covariance.update(wide)

    def _look(self, kernels: torch.Tensor, peaks: torch.Tensor, top: float, wide: torch.Tensor) -> None:
        """Take what else is wanted of a chunk; wide: the same kernels in float64, not to be changed."""

    def _add(self, weights: torch.Tensor) -> None:
        """Add finite float64 numbers [n] to the sums."""
        sums = [weights.abs().sum(), weights.sum(), torch.dot(weights, weights)]
        if self.powers == 4:
            squares = weights * weights
            sums += [torch.dot(squares, weights), torch.dot(squares, squares)]
        found = torch.stack(sums)
        self._number += len(weights)
        self._sums = found if self._sums is None else self._sums.add_(found)

    @property
    def power_sums(self) -> list[float]:
        """Number of finite weights, and sums of their first powers, float64."""
        sums = [0.0] * self.powers if self._sums is None else self._sums[1:].tolist()
        return [float(self._number), *sums]

    @property
    def norm_l1(self) -> float:
        return 0.0 if self._sums is None else float(self._sums[0])


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
        self._kernel_size = tuple(layer.shape[2:])
        few = layer.taps <= MAX_TAPS
        self._scaled = KernelCovariance(layer.taps) if few else None
        self._basis = torch.from_numpy(basis(self._kernel_size)) if few else None
        self._histogram: torch.Tensor | None = None
        self._energy: torch.Tensor | None = None

    def _look(self, kernels: torch.Tensor, peaks: torch.Tensor, top: float, wide: torch.Tensor) -> None:
        if self._basis is not None and self._scaled is not None:
            small = scaled(kernels, peaks, top).double()
            self._count(self._basis, small)
            self._scaled.update(small)
        else:
            energy = transform(wide, self._kernel_size).square_().sum(1)
            self._energy = energy if self._energy is None else self._energy.add_(energy)

    def _count(self, basis: torch.Tensor, small: torch.Tensor) -> None:
        low, high = histogram_range(self.layer.taps)
        shift = NUDGE * (high - low) / BINS
        counts = count(basis.to(small.device) @ small, low - shift, high - shift, BINS)
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
        elif self._basis is not None and self.covariance is not None and self.covariance.scatter is not None:
            # Of few taps the scatter has it: no second look at the kernels.
            matrix, mean = self.covariance.scatter.cpu(), self.covariance.mean
            assert mean is not None
            spread = ((self._basis @ matrix) * self._basis).sum(1).clamp_(min=0)
            energy = np.empty(self.layer.taps)
            energy[_places(self._kernel_size)] = (spread + self.n * (self._basis @ mean.cpu()).square()).numpy()
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
    taps = covariance.taps
    if covariance.mean is None or covariance.scatter is None:
        return {f"{name}_mean": [0.0] * taps, f"{name}_scatter": [0.0] * (taps * (taps + 1) // 2)}
    rows, cols = np.triu_indices(taps)
    matrix = covariance.scatter.cpu().numpy()
    return {f"{name}_mean": covariance.mean.tolist(), f"{name}_scatter": matrix[rows, cols].tolist()}
