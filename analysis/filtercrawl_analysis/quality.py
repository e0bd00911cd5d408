"""Quality of a layer in the measures of CNN Filter DB: sparsity, variance entropy, orthogonality, norms."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch

from filtercrawl.hookspecs import hookimpl
from filtercrawl.measure import LayerSummary, Measure
from filtercrawl_analysis.covariance import MAX_TAPS, KernelCovariance
from filtercrawl_analysis.orthogonality import FilterOrthogonality

# Kernels taken at a time: small enough for the cache, large enough to be worth a call. Large kernels: fewer.
CHUNK_KERNELS = 8192
CHUNK_NUMBERS = 524_288


class Quality:
    """Fills the quality columns of `index`; definitions in arXiv 2203.15331, for any kernel size.

    sparsity: share of kernels that are dead, that is with every |w| < max |w| of the layer / 100, in float32.
    n_dead: their number. A layer of zeros has sparsity 1: nothing in it can act, though the published formula
    says 0, as no magnitude is below a threshold of zero.
    variance_entropy, variance_entropy_norm: see `KernelCovariance.entropy`; None above 1024 taps.
    orthogonality: see `FilterOrthogonality`; None where the filters of a layer are not known.
    norm_l1, norm_l2, norm_linf: sum |w|, sqrt(sum w^2), max |w|, in float64.

    Where a layer holds NaN or infinities, norms are those of its finite weights, orthogonality is that of its
    filters without any, everything else that of its kernels without any. No column is ever NaN: what is not
    defined is None.
    """

    name = "quality"
    columns = (
        "sparsity",
        "n_dead",
        "variance_entropy",
        "variance_entropy_norm",
        "orthogonality",
        "norm_l1",
        "norm_l2",
        "norm_linf",
    )

    def start(self, layer: LayerSummary) -> LayerQuality:
        return LayerQuality(layer)


class LayerQuality:
    """The quality of one layer, whatever parts its filters come in."""

    def __init__(self, layer: LayerSummary) -> None:
        self._taps = layer.taps
        self._max_abs = layer.max_abs
        # Divided in float32, as numpy divides the maximum of a float32 array.
        self._threshold = float(np.float32(layer.max_abs) / np.float32(100))
        self._covariance = KernelCovariance(layer.taps) if 1 < layer.taps <= MAX_TAPS else None
        self._orthogonality = FilterOrthogonality(layer.shape) if layer.filters_known else None
        self._step = max(1, min(CHUNK_KERNELS, CHUNK_NUMBERS // layer.taps))
        self._n = self._n_finite_weights = self._n_dead = 0
        self._l1 = self._squares = 0.0

    def update(self, weight: torch.Tensor) -> None:
        """Take the next output channels: float32 [out, in_channels/groups, *kernel_size] on any device."""
        if weight.device.type == "mps":  # which has no float64
            weight = weight.cpu()
        if weight.numel() == 0:
            return
        if self._orthogonality is not None:
            self._orthogonality.update(weight.reshape(len(weight), -1))
        for kernels in torch.split(weight.reshape(-1, self._taps), self._step):
            self._take(kernels.T.to(torch.float64, memory_format=torch.contiguous_format))

    def _take(self, kernels: torch.Tensor) -> None:
        magnitudes = kernels.abs()
        peaks = magnitudes.amax(0)
        finite = peaks.isfinite()
        if bool(finite.all()):
            self._n_finite_weights += kernels.numel()
        else:
            weights = magnitudes.isfinite()
            self._n_finite_weights += int(weights.sum())
            magnitudes.masked_fill_(~weights, 0)
            kernels, peaks = kernels[:, finite], peaks[finite]
        self._l1 += float(magnitudes.sum())
        self._squares += float(torch.dot(magnitudes.ravel(), magnitudes.ravel()))
        dead = peaks < self._threshold if self._max_abs else peaks == 0
        self._n_dead += int(dead.sum())
        self._n += len(peaks)
        if self._covariance is not None:
            self._covariance.update(kernels)

    def finish(self) -> Mapping[str, float | int | None]:
        """Return the columns of `Quality`."""
        entropy, entropy_norm = self._covariance.entropy() if self._covariance else (None, None)
        some = self._n_finite_weights > 0
        return {
            "sparsity": self._n_dead / self._n if self._n else None,
            "n_dead": self._n_dead,
            "variance_entropy": entropy,
            "variance_entropy_norm": entropy_norm,
            "orthogonality": self._orthogonality.value() if self._orthogonality else None,
            "norm_l1": self._l1 if some else None,
            "norm_l2": math.sqrt(self._squares) if some else None,
            "norm_linf": self._max_abs if some else None,
        }


@hookimpl
def filtercrawl_measures() -> Iterator[Measure]:
    yield Quality()
