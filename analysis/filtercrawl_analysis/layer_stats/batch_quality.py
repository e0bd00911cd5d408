"""Quality and sketches of many layers from their sums, on the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl.api.layer_batch import BatchedLayer, LayerBatch, LayerMeasures
from filtercrawl.api.measure import LayerSummary, Sketcher
from filtercrawl_analysis.layer_stats.batch_sums import PendingSums
from filtercrawl_analysis.layer_stats.layer_quality import LayerQuality
from filtercrawl_analysis.layer_stats.layer_sums import LayerSums, ScaledSums
from filtercrawl_analysis.layer_stats.moments import dead_threshold
from filtercrawl_analysis.numerics.dct_basis import BINS
from filtercrawl_analysis.numerics.scaling import OVERFLOW

# A scatter matrix is the difference of a sum of squares and the squared mean. Where the squared mean of a weight is
# more than so many times its variance, the layer is measured again around its mean: the difference would have a
# relative error of more than 1e-9.
_MAX_SQUARED_MEAN: Final = 1e4
# Filters whose float32 norms lose no digits.
_SAFE_PEAKS: Final = (1e-12, 1e12)
# The bin of coefficients that are zero.
_ZERO_BIN: Final = BINS // 2

Array = NDArray[np.float64]


class PendingQuality:
    """Quality and sketches of a batch that the device still computes.

    Args:
        batch: The layers.
        start: Returns the accumulator of a layer, which turns sums into columns and a sketch.
    """

    def __init__(self, batch: LayerBatch, start: Callable[[LayerSummary], LayerQuality]) -> None:
        self._layers = batch.layers
        self._first_blocks = batch.first_blocks
        self._start = start
        self._sums = PendingSums(batch)

    @property
    def results(self) -> torch.Tensor:
        """The numbers that `finish` needs, float64 [n] on the device."""
        return self._sums.results

    def finish(self, results: Array) -> Sequence[LayerMeasures | None]:
        """Return the measures of each layer.

        None for layers that have to be measured by themselves: with NaN or infinities, with magnitudes beyond float16,
        with means far larger than deviations, and with filters of extreme scale where cosines are float32.
        """
        sums = self._sums.split(results)
        with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinities stay in their layer
            products = np.add.reduceat(sums.products, self._first_blocks)
        cosines = dict(zip(sums.filter_layers, sums.cosines.tolist(), strict=True))
        ends = [*(layer.first_row for layer in self._layers[1:]), len(sums.peaks)]
        found: list[LayerMeasures | None] = []
        for i, (layer, end) in enumerate(zip(self._layers, ends, strict=True)):
            counts = sums.counts[i].copy()
            counts[:, _ZERO_BIN] -= end - layer.first_row - layer.n_kernels  # rows of zeros that fill the last block
            peaks = sums.peaks[layer.first_row : layer.first_row + layer.n_kernels]
            finished = FinishedLayer(layer, products[i], peaks, counts)
            has_cosines = i in cosines
            if not finished.is_exact or (has_cosines and sums.has_float32_cosines and finished.has_extreme_filters):
                found.append(None)
            else:
                orthogonality = finished.orthogonality(cosines[i]) if has_cosines else None
                found.append(self._measures(finished, orthogonality))
        return found

    def _measures(self, layer: FinishedLayer, orthogonality: float | None) -> LayerMeasures:
        accumulator = self._start(layer.summary)
        accumulator.add_sums(layer.sums, orthogonality)
        columns = accumulator.finish()
        return LayerMeasures(
            columns=columns, sketch=accumulator.sketch() if isinstance(accumulator, Sketcher) else None
        )


class FinishedLayer:
    """The sums of one layer of a batch.

    Args:
        layer: The layer.
        products: Its sums of products of columns, see `BatchSums.products`, without the axis of blocks.
        peaks: The largest magnitude of each kernel, float64 [n_kernels].
        counts: Coefficients in each bin, float64 [taps, `BINS_AND_EDGE`].
    """

    def __init__(self, layer: BatchedLayer, products: Array, peaks: Array, counts: Array) -> None:
        taps, self._n, self._peaks, self._counts, self._layer = layer.taps, layer.n_kernels, peaks, counts, layer
        weights, squares, scaled = (slice(k * taps, (k + 1) * taps) for k in range(3))
        one, self._norm_l1 = products[-2], float(products[-2, -3])
        self._cubes = float(products[weights, squares].trace())
        self._fourths = float(products[squares, squares].trace())
        with np.errstate(invalid="ignore"):
            self._mean, self._scatter = self._moments(one[weights], products[weights, weights])
            self._scaled_mean, self._scaled_scatter = self._moments(one[scaled], products[scaled, scaled])

    def _moments(self, total: Array, products: Array) -> tuple[Array, Array]:
        """Return mean and scatter matrix from the sum of kernels and the sum of k k^T."""
        mean = total / self._n
        if self._n == 1:
            return mean, np.zeros_like(products)
        scatter = products - self._n * mean[:, None] * mean
        return mean, (scatter + scatter.T) / 2

    @property
    def is_exact(self) -> bool:
        """Whether the sums are those that `LayerSketch` has, but for rounding."""
        if not (np.isfinite(self._peaks).all() and self._peaks.max(initial=0.0) < OVERFLOW):
            return False
        pairs = (self._mean, self._scatter), (self._scaled_mean, self._scaled_scatter)
        return self._n == 1 or all(
            bool((self._n * mean * mean <= _MAX_SQUARED_MEAN * scatter.diagonal()).all()) for mean, scatter in pairs
        )

    @property
    def has_extreme_filters(self) -> bool:
        """Whether the norm of a filter may lose digits in float32."""
        peaks = self._filter_peaks()
        live = peaks[peaks > 0]
        return bool(((live < _SAFE_PEAKS[0]) | (live > _SAFE_PEAKS[1])).any())

    def orthogonality(self, cosines: float) -> float:
        """Return the orthogonality, see `FilterOrthogonality`.

        Args:
            cosines: The sum of the magnitudes of the cosines of all pairs, each filter with itself included.
        """
        n = self._layer.shape[0]
        n_zero = int((self._filter_peaks() == 0).sum())
        # A filter of zeros has no cosine and counts 1; any other has the cosine 1 with itself and counts nothing.
        return 1 - (cosines - (n - n_zero) + n_zero) / (n * (n - 1))

    def _filter_peaks(self) -> Array:
        peaks: Array = self._peaks.reshape(self._layer.shape[:2]).max(1)
        return peaks

    @property
    def summary(self) -> LayerSummary:
        """What the accumulator of the layer is started with."""
        return LayerSummary(
            shape=self._layer.shape,
            n_kernels=self._n,
            taps=self._layer.taps,
            max_abs=float(self._peaks.max()),
            filters_known=self._layer.filters_known,
        )

    @property
    def sums(self) -> LayerSums:
        """Sums of the kernels as stored, and of the scaled ones."""
        return LayerSums(
            n=self._n,
            n_dead=int((self._peaks < dead_threshold(float(self._peaks.max()))).sum()),
            norm_l1=self._norm_l1,
            cubes=self._cubes,
            fourths=self._fourths,
            mean=self._mean,
            scatter=self._scatter,
            scaled=self._scaled_sums,
        )

    @property
    def _scaled_sums(self) -> ScaledSums:
        counts = self._counts[:, :BINS].astype(np.int64)
        counts[:, -1] += self._counts[:, BINS].astype(np.int64)
        return ScaledSums(
            n=self._n,
            n_zero=int((self._peaks == 0).sum()),
            mean=self._scaled_mean,
            scatter=self._scaled_scatter,
            histogram=counts.reshape(-1),
        )
