"""The quality, and the sketch, of one layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from filtercrawl.api.measure import LayerSummary
from filtercrawl_analysis.layer_stats.layer_sums import LayerSums
from filtercrawl_analysis.layer_stats.moments import LayerMoments
from filtercrawl_analysis.layer_stats.orthogonality import FilterOrthogonality
from filtercrawl_analysis.layer_stats.sketch import LayerSketch


class LayerQuality:
    """Accumulates the quality of one layer, in whatever parts its filters arrive."""

    def __init__(self, layer: LayerSummary, moments: LayerMoments) -> None:
        self._layer = layer
        self._moments = moments
        self._orthogonality = FilterOrthogonality(layer.shape) if layer.filters_known else None

    @torch.inference_mode()  # without the books of autograd, a seventh of the time of separate passes
    def update(self, weight: torch.Tensor) -> None:
        """Add the next output channels, float32 [out, in_channels/groups, *kernel_size], on any device."""
        if weight.device.type == "mps":  # has no float64
            weight = weight.cpu()
        if weight.numel() == 0:
            return
        if self._orthogonality is not None:
            self._orthogonality.update(weight.reshape(len(weight), -1))
        self._moments.update(weight)

    def add_sums(self, sums: LayerSums, orthogonality: float | None) -> None:
        """Add all kernels of a layer at once, all of them finite, by their sums.

        Args:
            sums: Of the kernels.
            orthogonality: Of the filters.
        """
        self._moments.add_sums(sums)
        if self._orthogonality is not None:
            self._orthogonality.set(orthogonality)

    def finish(self) -> Mapping[str, float | int | None]:
        """Return the columns of `Quality`."""
        moments = self._moments
        entropy, entropy_norm = moments.covariance.variance_entropy() if moments.covariance else (None, None)
        n_weights, _, squares, *_ = moments.power_sums
        return {
            "sparsity": moments.n_dead / moments.n if moments.n else None,
            "n_dead": moments.n_dead,
            "variance_entropy": entropy,
            "variance_entropy_norm": entropy_norm,
            "orthogonality": self._orthogonality.value() if self._orthogonality else None,
            "norm_l1": moments.norm_l1 if n_weights else None,
            "norm_l2": math.sqrt(squares) if n_weights else None,
            "norm_linf": self._layer.max_abs if n_weights else None,
        }


class SketchedQuality(LayerQuality):
    """Accumulates the quality and the sketch of one layer in one pass over its kernels."""

    def __init__(self, layer: LayerSummary) -> None:
        self._sketch = LayerSketch(layer)
        super().__init__(layer, self._sketch)

    def sketch(self) -> Mapping[str, Any]:
        """Return the row of the schema SKETCHES without layer_sha256; see `LayerSketch`."""
        return self._sketch.finish()
