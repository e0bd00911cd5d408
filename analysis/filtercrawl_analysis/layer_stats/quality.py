"""Quality of a layer in the measures of CNN Filter DB: sparsity, variance entropy, orthogonality, norms."""

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

    sketches: whether sketches of layers are made too, in the same look at their kernels.
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
        self._sketches = sketches

    def start(self, layer: LayerSummary) -> LayerQuality:
        return SketchedQuality(layer) if self._sketches else LayerQuality(layer, LayerMoments(layer))


class LayerQuality:
    """The quality of one layer, whatever parts its filters come in."""

    def __init__(self, layer: LayerSummary, moments: LayerMoments) -> None:
        self._layer = layer
        self._moments = moments
        self._orthogonality = FilterOrthogonality(layer.shape) if layer.filters_known else None

    def update(self, weight: torch.Tensor) -> None:
        """Take the next output channels: float32 [out, in_channels/groups, *kernel_size] on any device."""
        if weight.device.type == "mps":  # which has no float64
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
        number, _, squares, *_ = moments.power_sums
        return {
            "sparsity": moments.n_dead / moments.n if moments.n else None,
            "n_dead": moments.n_dead,
            "variance_entropy": entropy,
            "variance_entropy_norm": entropy_norm,
            "orthogonality": self._orthogonality.value() if self._orthogonality else None,
            "norm_l1": moments.norm_l1 if number else None,
            "norm_l2": math.sqrt(squares) if number else None,
            "norm_linf": self._layer.max_abs if number else None,
        }


class SketchedQuality(LayerQuality):
    """The quality and the sketch of one layer, of one look at its kernels."""

    def __init__(self, layer: LayerSummary) -> None:
        self._sketch = LayerSketch(layer)
        super().__init__(layer, self._sketch)

    def sketch(self) -> Mapping[str, Any]:
        """Return the row of SKETCHES, without layer_sha256; see `LayerSketch`."""
        return self._sketch.finish()


@hookimpl
def filtercrawl_measures() -> Iterator[Measure]:
    yield Quality()
