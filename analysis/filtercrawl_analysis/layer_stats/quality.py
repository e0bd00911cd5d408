"""Quality measures of a layer as defined by CNN Filter DB: sparsity, variance entropy, orthogonality, norms."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.measure import LayerSummary, Measure
from filtercrawl_analysis.layer_stats.moments import LayerMoments
from filtercrawl_analysis.layer_stats.orthogonality import FilterOrthogonality
from filtercrawl_analysis.layer_stats.sketch import LayerSketch

if TYPE_CHECKING:
    import torch


class Quality:
    """Measure that fills the quality columns of `index` (definitions: arXiv 2203.15331), for any kernel size.

    Columns:
        `sparsity`: The share of kernels that are dead, that is with every |w| < max |w| of the layer / 100, compared in
        float32. A layer of zeros has sparsity 1, as nothing in it can act; the published formula gives 0, since no
        magnitude is below a threshold of zero.

        `n_dead`: The number of dead kernels.

        `variance_entropy`, `variance_entropy_norm`: See `KernelCovariance.variance_entropy`; null above 1024 taps.

        `orthogonality`: See `FilterOrthogonality`; null where the filters of a layer are not known.

        `norm_l1`, `norm_l2`, `norm_linf`: sum |w|, sqrt(sum w^2) and max |w|, in float64.

    Where a layer holds NaN or infinities, norms are those of its finite weights, orthogonality is that of its finite
    filters, and everything else that of its finite kernels. No column is ever NaN: undefined values are None.
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

    def __init__(self, *, sketches: bool = True) -> None:
        """Create the measure.

        Args:
            sketches: Whether to compute the sketch of each layer too, in the same pass over its kernels.
        """
        self._sketches = sketches

    def start(self, layer: LayerSummary) -> LayerQuality:
        """Return an accumulator for one layer."""
        return SketchedQuality(layer) if self._sketches else LayerQuality(layer, LayerMoments(layer))


class LayerQuality:
    """Accumulates the quality of one layer, in whatever parts its filters arrive."""

    def __init__(self, layer: LayerSummary, moments: LayerMoments) -> None:
        self._layer = layer
        self._moments = moments
        self._orthogonality = FilterOrthogonality(layer.shape) if layer.filters_known else None

    def update(self, weight: torch.Tensor) -> None:
        """Add the next output channels, float32 [out, in_channels/groups, *kernel_size], on any device."""
        if weight.device.type == "mps":  # has no float64
            weight = weight.cpu()
        if weight.numel() == 0:
            return
        if self._orthogonality is not None:
            self._orthogonality.update(weight.reshape(len(weight), -1))
        self._moments.update(weight)

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


@hookimpl
def filtercrawl_measures() -> Iterator[Measure]:
    """Register the measure `quality`."""
    yield Quality()
