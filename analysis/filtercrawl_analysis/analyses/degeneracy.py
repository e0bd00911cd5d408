"""The analysis `degeneracy`: sparsity, variance entropy and its null distribution, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from filtercrawl.api.analysis import DatasetView, Figure, Result, ResultTable
from filtercrawl_analysis.analyses.degeneracy_findings import degeneracy_findings
from filtercrawl_analysis.analyses.registry import empty_result
from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.plots.quality import (
    PAPER_CURVE,
    RANDOM_CURVE,
    depth_profiles,
    entropy_scatter,
    kernel_mosaics,
)
from filtercrawl_analysis.statistics.components.coefficients import select_kernel_size
from filtercrawl_analysis.statistics.entropy.null import EntropyNull
from filtercrawl_analysis.statistics.groups.kernel_words import kernel_phrase
from filtercrawl_analysis.statistics.groups.labels import ordered_labels, sample_size
from filtercrawl_analysis.statistics.initialization.layers import layer_initialization, model_initialization
from filtercrawl_analysis.statistics.quality.group_summary import (
    filter_known_depth,
    summarize_by_columns,
    summarize_by_depth,
)
from filtercrawl_analysis.statistics.quality.layer_verdicts import layer_verdicts
from filtercrawl_analysis.statistics.quality.model_quality import model_quality
from filtercrawl_analysis.statistics.quality.paper_thresholds import TAPS, randomness_threshold
from filtercrawl_analysis.statistics.quality.verdict_rules import DEFINITIONS, VERDICTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

NUMBERS: Final = ("sparsity", "variance_entropy_norm", "orthogonality")
# Kernel sizes in figures, those with the most layers; layers of each verdict in the mosaic, and kernels of each layer.
MAX_SIZES: Final = 3
LAYERS_PER_VERDICT: Final = 4
KERNELS_PER_LAYER: Final = 16
_LARGEST_FIRST: Final = [("n_kernels", "descending"), ("layer_id", "ascending")]
_DEGENERATE: Final = ("dead", "repeated", "outliers", "near copies", "random")
_QUALITY: Final = (
    "Sparsity, variance entropy, orthogonality, T_H (randomness_threshold) and degenerate (H >= T_H - 0.02, or H < 0.5 "
    "and sparsity >= 0.14) as in arXiv 2203.15331; T_H and degenerate only for nine taps, for which they were fitted. "
    "p_structured, p_even: shares of layers of the same weights in random order (null: permutation), or, where not all "
    "kernels are sampled, of random weights of the same kurtosis (null: kurtosis), or, where few weights decide the "
    "entropy, of the sampled kernels in random order (null: sample permutation), with at most, and at least, this "
    "entropy; of two such orders or distributions, with kernels of one scale and of different ones, the larger. "
)


def analyze(dataset: DatasetView) -> Result:
    """Find degenerate layers: dead, repeated, of outliers or like random weights, and the models they are in."""
    layers = layer_verdicts(dataset)
    if not len(layers):
        return empty_result("no learned kernels of more than one tap")
    models = model_quality(layers, model_initialization(layer_initialization(dataset)))
    figures = (*_entropy_figures(dataset, layers), *_depth_figures(layers), *_mosaic_figure(dataset, layers))
    return Result(
        tables=tuple(_tables(dataset, layers, models)),
        figures=figures,
        findings=tuple(degeneracy_findings(layers, models, figures[0].name if figures else None)),
    )


def _tables(dataset: DatasetView, layers: pa.Table, models: pa.Table) -> Iterator[ResultTable]:
    yield ResultTable(name="layer_quality", title="Quality of every layer", rows=layers, about=_QUALITY + DEFINITIONS)
    yield ResultTable(
        name="model_quality",
        title="Quality of every model",
        rows=models,
        about="Layers and kernels of each model by verdict; dead_share: of its kernels; random_share: of the layers "
        "that are ok or random; initialization, law: see model_initialization. Verdicts: see layer_quality.",
    )
    index = dataset.index.filter(pc.greater(dataset.index["taps"], 1))
    yield ResultTable(
        name="group_quality",
        title="Quality by group",
        rows=summarize_by_columns(layers, index, dataset.options.by, NUMBERS, VERDICTS),
        about="Quartiles over layers, and how many have each verdict, as layer_quality explains them.",
    )
    worst = _most_degenerate(layers)
    if len(worst):
        yield ResultTable(
            name="degenerate_layers",
            excerpt_of="layer_quality",
            title="The most degenerate layers",
            rows=worst,
            about=f"Up to {LAYERS_PER_VERDICT} layers of each verdict, those with the most kernels.",
        )


def _most_degenerate(layers: pa.Table) -> pa.Table:
    by_verdict = [
        layers.filter(pc.equal(layers["verdict"], verdict)).sort_by(_LARGEST_FIRST) for verdict in _DEGENERATE
    ]
    return pa.concat_tables([table.slice(0, LAYERS_PER_VERDICT) for table in by_verdict])


def _sizes(layers: pa.Table) -> list[str]:
    return ordered_labels(layers["kernel"].to_pylist(), np.ones(len(layers), np.int64))[:MAX_SIZES]


def _entropy_figures(dataset: DatasetView, layers: pa.Table) -> Iterator[Figure]:
    for kernel in _sizes(layers):
        here = layers.filter(pc.and_(pc.equal(layers["kernel"], kernel), pc.is_valid(layers["variance_entropy"])))
        if not len(here):
            continue
        taps = here["taps"][0].as_py()
        sizes = here["n_kernels"].to_numpy().astype(np.float64)
        yield Figure(
            name=f"quality_{kernel}",
            title=f"Variance entropy of layers of {kernel_phrase(kernel)}",
            caption="One mark per layer. Of layers of independent normal weights, 95 % lie above the solid curve "
            "(simulated; the verdicts allow for each layer's own distribution)"
            + ("; the dashed curve is T_H of the paper." if taps == TAPS else "."),
            basis=sample_size(here),
            table="layer_quality",
            draw=partial(
                _draw_entropies,
                kernels=sizes,
                entropy=here["variance_entropy"].to_numpy(),
                verdicts=here["verdict"].to_pylist(),
                taps=taps,
                seed=dataset.options.seed,
            ),
            height=5.0,
        )


def _draw_entropies(
    canvas: Canvas, *, kernels: Array, entropy: Array, verdicts: Sequence[str], taps: int, seed: int
) -> None:
    """Draw the entropies of layers beside those of random ones, which are not simulated for figures of no page."""
    curves = _curves(seed, taps, float(kernels.max()))
    entropy_scatter(canvas, kernels=kernels, entropy=entropy, verdicts=verdicts, curves=curves, top=math.log10(taps))


@lru_cache(maxsize=MAX_SIZES)  # a figure is drawn once for each format
def _curves(seed: int, taps: int, largest: float) -> dict[str, tuple[Array, Array]]:
    null = EntropyNull(seed)
    grid = np.unique(np.round(np.geomspace(3, max(largest, 8), 24)).astype(int))
    random = [(n, null.quantile(0.05, int(n), taps)) for n in grid]
    fitted = [(n, randomness_threshold(int(n), taps)) for n in grid]
    named = {PAPER_CURVE: fitted, RANDOM_CURVE: random}
    found = {name: [(n, value) for n, value in points if value is not None] for name, points in named.items()}
    return {
        name: (np.array([n for n, _ in points], np.float64), np.array([value for _, value in points]))
        for name, points in found.items()
        if points
    }


def _depth_figures(layers: pa.Table) -> Iterator[Figure]:
    for kernel in _sizes(layers):
        here = filter_known_depth(select_kernel_size(layers, kernel))
        rows = summarize_by_depth(here, NUMBERS)
        if len(rows) > 1:
            yield Figure(
                name=f"depth_{kernel}",
                title=f"Quality of layers of {kernel_phrase(kernel)} by depth",
                caption="Median and quartiles over layers, by tenths of the depth of their networks.",
                basis=sample_size(here),
                table="group_quality",
                draw=partial(depth_profiles, rows=rows, numbers=NUMBERS),
                height=6.0,
            )


def _mosaic_figure(dataset: DatasetView, layers: pa.Table) -> Iterator[Figure]:
    worst = _most_degenerate(layers)
    samples = dict(dataset.samples(worst["layer_sha256"].to_pylist()))
    sizes = dict(zip(*(dataset.index[name].to_pylist() for name in ("kernel", "kernel_size")), strict=True))
    shown = [
        (
            f"{row['verdict']}: {row['layer_id']}",
            tuple(sizes[row["kernel"]]),
            _scaled_for_display(samples[row["layer_sha256"]], row),
        )
        for row in worst.to_pylist()
        if row["layer_sha256"] in samples
    ]
    if shown:
        broken = any(np.isinf(kernels).any() for *_, kernels in shown)
        yield Figure(
            name="degenerate_kernels",
            title="Kernels of the most degenerate layers",
            caption=f"Up to {KERNELS_PER_LAYER} sampled kernels per layer, each divided by its largest magnitude, or "
            "in dead layers by that of the layer; negative weights are blue, positive orange"
            f"{', infinite ones and NaN magenta' if broken else ''}.",
            basis=sample_size(worst),
            table="degenerate_layers",
            draw=partial(kernel_mosaics, layers=shown, columns=KERNELS_PER_LAYER),
            height=0.5 + 0.62 * len(shown),
        )


def _scaled_for_display(kernels: NDArray[np.float32], row: dict[str, Any]) -> Array:
    """Scale kernels for display, float64 [k, taps]: by their own largest magnitude, or that of a dead layer.

    Weights that are not finite, NaN included, are infinity.
    """
    finite = np.isfinite(kernels)
    wide = np.where(finite, kernels, 0).astype(np.float64)
    peaks = np.abs(wide).max(1, keepdims=True)
    top = row["norm_linf"] or 1.0 if row["verdict"] == "dead" else np.where(peaks == 0, 1.0, peaks)
    scaled: Array = np.where(finite, wide / top, np.inf)
    return scaled
