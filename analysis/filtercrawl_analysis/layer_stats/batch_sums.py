"""All sums that the quality and the sketches of many layers need, with a fixed number of operations on the device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl.api.layer_batch import BatchedLayer, LayerBatch
from filtercrawl_analysis.layer_stats.orthogonality import MANY_FILTERS, FilterOrthogonality
from filtercrawl_analysis.layer_stats.sketch import ROUNDING_MARGIN
from filtercrawl_analysis.numerics.dct_basis import BINS, dct_basis, histogram_range

# The largest coefficient possible lies on the upper edge of the last bin; on the host its bin is joined with the last.
BINS_AND_EDGE: Final = BINS + 1
# The first bin of all takes the coefficients of kernels that are not finite.
_FIRST_BIN: Final = 1
# Norm that replaces that of filters of zeros; no other filter of float32 has one that small.
_SMALLEST_NORM: Final = {torch.float64: 1e-60, torch.float32: 1e-30}
# The smallest positive float16.
_SMALLEST_FLOAT16: Final = 2.0**-24

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class BatchSums:
    """Sums of a batch of L layers.

    Attributes:
        products: float64 [blocks, 3 taps + 3, 3 taps + 3]: for each block the sums over its kernels of all products of
            two of the columns w, w^2, scaled w, sum |w| of the kernel, 1 and the number of the layer.
        peaks: The largest magnitude of each kernel, float64 [rows].
        counts: Coefficients in each bin, float64 [L, taps, `BINS_AND_EDGE`].
        cosines: For each of `filter_layers` the sum of the magnitudes of the cosines of all pairs of its filters, each
            filter with itself included, float64.
        filter_layers: Indices of the layers that have `cosines`.
        has_float32_cosines: Whether products of filters were computed in float32.
    """

    products: Array
    peaks: Array
    counts: Array
    cosines: Array
    filter_layers: tuple[int, ...]
    has_float32_cosines: bool


class PendingSums:
    """Sums of a batch that the device still computes.

    Args:
        batch: The layers; their kernels have at most `dct_basis.MAX_TAPS` taps.

    Attributes:
        results: All sums, float64 [n] on the device.
    """

    def __init__(self, batch: LayerBatch) -> None:
        self._rows, self._taps = batch.kernels.shape
        self._n_layers, self._width = len(batch.layers), 3 * self._taps + 3
        self._n_blocks = self._rows // batch.block
        self._filter_layers = tuple(i for i, layer in enumerate(batch.layers) if has_orthogonality(layer))
        few = any(batch.layers[i].shape[0] < MANY_FILTERS for i in self._filter_layers)
        self._dtype = torch.float64 if few else torch.float32
        self._sizes = [
            self._n_blocks * self._width**2,
            self._rows,
            _FIRST_BIN + self._n_layers * self._taps * BINS_AND_EDGE,
            len(self._filter_layers),
        ]
        self.results = torch.zeros(sum(self._sizes), dtype=torch.float64, device=batch.kernels.device)
        products, peaks, counts, cosines = self.results.split_with_sizes(self._sizes)
        torch.linalg.vector_norm(batch.kernels, torch.inf, dim=1, dtype=torch.float64, out=peaks)
        columns = self._columns(batch)
        blocks = columns.view(self._n_blocks, batch.block, self._width)
        torch.bmm(blocks.transpose(1, 2), blocks, out=products.view(self._n_blocks, self._width, self._width))
        bins = (columns @ batch.upload(_projection(batch.layers[0].shape[2:]))).long().clamp_(0, len(counts) - 1)
        counts.scatter_(0, bins.view(-1), 1.0, reduce="add")
        if self._filter_layers:
            self._add_cosines(batch, cosines)

    def _columns(self, batch: LayerBatch) -> torch.Tensor:
        """Return the columns that `BatchSums.products` are of, float64 [rows, 3 taps + 3]."""
        wide, half = batch.kernels.double(), batch.kernels.half()
        # Scaled as by `scaling.scale_kernels`: quotients of float16 numbers are computed in float32 and rounded once.
        largest = torch.linalg.vector_norm(half, torch.inf, dim=1, keepdim=True)
        scaled = half.div_(largest.clamp_(min=_SMALLEST_FLOAT16))
        norm_l1 = torch.linalg.vector_norm(wide, 1, dim=1, keepdim=True)
        counts = np.diff([*batch.first_blocks, self._n_blocks])
        number = np.repeat(np.arange(self._n_layers, dtype=np.int32), counts * batch.block)
        marks = batch.upload(np.stack([np.ones_like(number), number], 1))
        return torch.cat([wide, wide * wide, scaled, norm_l1, marks], 1)

    def _add_cosines(self, batch: LayerBatch, out: torch.Tensor) -> None:
        # Filters of all layers have the size of the largest: kernels of zeros fill the rest.
        rows = np.full(padded_filters([batch.layers[i] for i in self._filter_layers]), self._rows - 1, np.int32)
        for place, i in enumerate(self._filter_layers):
            layer, (outputs, inputs) = batch.layers[i], batch.layers[i].shape[:2]
            of_layer = np.arange(layer.first_row, layer.first_row + layer.n_kernels)
            rows[place, :outputs, :inputs] = of_layer.reshape(outputs, inputs)
        filters = batch.kernels[batch.upload(rows)]
        norms = torch.linalg.vector_norm(filters, 2, dim=(2, 3), keepdim=True, dtype=self._dtype)
        units = (filters / norms.clamp_(min=_SMALLEST_NORM[self._dtype])).view(*rows.shape[:2], -1)
        cosines = torch.bmm(units, units.transpose(1, 2))
        torch.linalg.vector_norm(cosines, 1, dim=(1, 2), dtype=torch.float64, out=out)

    def split(self, results: Array) -> BatchSums:
        """Take apart the numbers of `results`."""
        products, peaks, counts, cosines = np.split(results, np.cumsum(self._sizes)[:-1])
        return BatchSums(
            products=products.reshape(self._n_blocks, self._width, self._width),
            peaks=peaks,
            counts=counts[_FIRST_BIN:].reshape(self._n_layers, self._taps, BINS_AND_EDGE),
            cosines=cosines,
            filter_layers=self._filter_layers,
            has_float32_cosines=self._dtype == torch.float32,
        )


def has_orthogonality(layer: BatchedLayer) -> bool:
    """Return whether a layer has an orthogonality, as far as its shape tells."""
    return layer.filters_known and FilterOrthogonality(layer.shape).defined


def padded_filters(layers: list[BatchedLayer]) -> tuple[int, int, int]:
    """Return the size [layers, filters, kernels of a filter] of the filters of layers when all have one size."""
    return len(layers), max(layer.shape[0] for layer in layers), max(layer.shape[1] for layer in layers)


@cache
def _projection(kernel_size: tuple[int, ...]) -> Array:
    """Return the matrix that turns the columns of a kernel into the bins of its coefficients.

    Bins are numbered through all layers and coefficients, so that one count serves all of them. They are those of
    `LayerSketch`: the edges are lowered by the same margin.

    Returns:
        float64 [3 taps + 3, taps]; truncated, the products are the numbers of the bins.
    """
    taps = math.prod(kernel_size)
    low, high = histogram_range(taps)
    width = (high - low) / BINS
    matrix = np.zeros((3 * taps + 3, taps))
    matrix[2 * taps : 3 * taps] = dct_basis(kernel_size).T / width
    matrix[-2] = _FIRST_BIN + np.arange(taps) * BINS_AND_EDGE - low / width + ROUNDING_MARGIN
    matrix[-1] = taps * BINS_AND_EDGE
    return matrix
