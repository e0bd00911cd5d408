"""Quality measures of a layer as defined by CNN Filter DB: sparsity, variance entropy, orthogonality, norms."""

from __future__ import annotations

from collections.abc import Iterator

from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.layer_batch import LayerBatch, PendingMeasures
from filtercrawl.api.measure import LayerSummary, Measure
from filtercrawl_analysis.layer_stats.batch_quality import PendingQuality
from filtercrawl_analysis.layer_stats.layer_quality import LayerQuality, SketchedQuality
from filtercrawl_analysis.layer_stats.moments import LayerMoments
from filtercrawl_analysis.numerics.dct_basis import MAX_TAPS


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

    def supports_taps(self, taps: int) -> bool:
        """Return whether kernels of so many taps can be measured in batches."""
        return taps <= MAX_TAPS

    def start_batch(self, batch: LayerBatch) -> PendingMeasures:
        """Begin to measure many layers; the values agree with those of `start` to 1e-6 of their magnitude."""
        return PendingQuality(batch, self.start)


@hookimpl
def filtercrawl_measures() -> Iterator[Measure]:
    """Register the measure `quality`."""
    yield Quality()
