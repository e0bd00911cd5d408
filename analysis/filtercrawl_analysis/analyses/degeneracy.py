"""The analysis `degeneracy`: sparsity, variance entropy and what chance makes of it, layer by layer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from filtercrawl.api.analysis import DatasetView, Figure, Result, ResultTable
from filtercrawl_analysis.analyses.empty_result import empty_result
from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.plots.quality import depth_profiles, entropy_scatter, kernel_mosaics
from filtercrawl_analysis.statistics.coefficients import select_kernel_size
from filtercrawl_analysis.statistics.entropy_null import EntropyNull
from filtercrawl_analysis.statistics.group_summary import filter_known_depth, summarize_by_columns, summarize_by_depth
from filtercrawl_analysis.statistics.groups import ordered_labels, sample_size
from filtercrawl_analysis.statistics.layer_verdicts import layer_verdicts
from filtercrawl_analysis.statistics.paper_thresholds import TAPS, randomness_threshold

VERDICTS: Final = ("ok", "random", "repeated", "dead")
NUMBERS: Final = ("sparsity", "variance_entropy_norm", "orthogonality")
# Kernel sizes that are drawn, those with the most layers; layers in the mosaic, of each verdict; kernels of each.
DRAWN: Final = 3
SHOWN: Final = 4
COLUMNS: Final = 24
_LARGEST_FIRST: Final = [("n_kernels", "descending"), ("layer_id", "ascending")]
_VERDICTS: Final = (
    "Verdicts, the first that holds: dead, at least 90 % of the kernels have no weight of a hundredth of the layer's "
    "largest; repeated, 99 % of the energy lies in multiples of one kernel, or at most a quarter of the sampled live "
    "kernels differ by more than size and sign; random, layers of random numbers have as low an entropy (simulated "
    "for this number of kernels and taps, Benjamini-Hochberg over all layers, q > 0.05); ok. No verdict below two "
    "kernels a tap. That chance is not ruled out does not prove a layer untrained."
)
_QUALITY: Final = (
    "Sparsity, variance entropy, orthogonality, T_H (randomness_threshold) and degenerate (H >= T_H - 0.02, or H < 0.5 "
    "and sparsity >= 0.14) as in arXiv 2203.15331; T_H and degenerate only for nine taps, for which they were fitted. "
    "p_structured, p_even: shares of random layers with at most, at least this entropy. "
)


def analyze(dataset: DatasetView) -> Result:
    """Find layers whose kernels training did not make, or no longer: dead, copies, noise."""
    layers = layer_verdicts(dataset)
    if not len(layers):
        return empty_result("no learned kernels of more than one tap")
    return Result(
        tables=tuple(_tables(dataset, layers)),
        figures=(*_scatters(dataset, layers), *_profiles(layers), *_mosaic(dataset, layers)),
        findings=tuple(_findings(layers)),
    )


def _tables(dataset: DatasetView, layers: pa.Table) -> Iterator[ResultTable]:
    yield ResultTable(name="layer_quality", title="Quality of every layer", rows=layers, about=_QUALITY + _VERDICTS)
    index = dataset.index.filter(pc.greater(dataset.index["taps"], 1))
    yield ResultTable(
        name="group_quality",
        title="Quality by group",
        rows=summarize_by_columns(layers, index, dataset.options.by, NUMBERS, VERDICTS),
        about="Quartiles over layers, and how many have each verdict. " + _VERDICTS,
    )
    worst = _worst(layers)
    if len(worst):
        yield ResultTable(
            name="degenerate_layers",
            title="The most degenerate layers",
            rows=worst,
            about=f"Up to {SHOWN} of each verdict, those with the most kernels. " + _VERDICTS,
        )


def _worst(layers: pa.Table) -> pa.Table:
    found = [layers.filter(pc.equal(layers["verdict"], word)).sort_by(_LARGEST_FIRST) for word in VERDICTS[1:]]
    return pa.concat_tables([table.slice(0, SHOWN) for table in found])


def _sizes(layers: pa.Table) -> list[str]:
    return ordered_labels(layers["kernel"].to_pylist(), np.ones(len(layers), np.int64))[:DRAWN]


def _scatters(dataset: DatasetView, layers: pa.Table) -> Iterator[Figure]:
    null = EntropyNull(dataset.options.seed)
    for kernel in _sizes(layers):
        here = layers.filter(pc.and_(pc.equal(layers["kernel"], kernel), pc.is_valid(layers["variance_entropy"])))
        if not len(here):
            continue
        taps = here["taps"][0].as_py()
        sizes = here["n_kernels"].to_numpy().astype(np.float64)
        yield Figure(
            name=f"quality_{kernel}",
            title=f"Variance entropy of {kernel} layers",
            caption="A mark a layer. Of layers of random numbers, 95 % lie above the solid curve (simulated)"
            + (", and T_H of the paper is the dashed one." if taps == TAPS else "."),
            basis=sample_size(here),
            table="layer_quality",
            draw=partial(
                entropy_scatter,
                kernels=sizes,
                entropy=here["variance_entropy"].to_numpy(),
                verdicts=here["verdict"].to_pylist(),
                curves=_curves(null, taps, sizes.max()),
                top=math.log10(taps),
            ),
        )


def _curves(null: EntropyNull, taps: int, largest: float) -> dict[str, tuple[Array, Array]]:
    grid = np.unique(np.round(np.geomspace(3, max(largest, 8), 24)).astype(int))
    random = [(n, null.quantile(0.05, int(n), taps)) for n in grid]
    fitted = [(n, randomness_threshold(int(n), taps)) for n in grid]
    named = {"T_H": fitted, "5 % of random layers": random}
    found = {name: [(n, value) for n, value in points if value is not None] for name, points in named.items()}
    return {
        name: (np.array([n for n, _ in points], np.float64), np.array([value for _, value in points]))
        for name, points in found.items()
        if points
    }


def _profiles(layers: pa.Table) -> Iterator[Figure]:
    for kernel in _sizes(layers):
        here = filter_known_depth(select_kernel_size(layers, kernel))
        rows = summarize_by_depth(here, NUMBERS)
        if len(rows) > 1:
            yield Figure(
                name=f"depth_{kernel}",
                title=f"Quality of {kernel} layers by depth",
                caption="Median and quartiles over layers, by tenths of the depth of their networks.",
                basis=sample_size(here),
                table="group_quality",
                draw=partial(depth_profiles, rows=rows, numbers=NUMBERS),
                height=6.0,
            )


def _mosaic(dataset: DatasetView, layers: pa.Table) -> Iterator[Figure]:
    worst = _worst(layers)
    samples = dict(dataset.samples(worst["layer_sha256"].to_pylist()))
    sizes = dict(zip(*(dataset.index[name].to_pylist() for name in ("kernel", "kernel_size")), strict=True))
    shown = [
        (f"{row['verdict']}: {row['layer_id']}", tuple(sizes[row["kernel"]]), _shown(samples[row["layer_sha256"]], row))
        for row in worst.to_pylist()
        if row["layer_sha256"] in samples
    ]
    if shown:
        yield Figure(
            name="degenerate_kernels",
            title="Kernels of the most degenerate layers",
            caption=f"Up to {COLUMNS} sampled kernels a layer, each over its own largest magnitude, those of dead "
            "layers over their layer's: blue below zero, orange above.",
            basis=sample_size(worst),
            table="degenerate_layers",
            draw=partial(kernel_mosaics, layers=shown, columns=COLUMNS),
            height=0.5 + 0.62 * len(shown),
        )


def _shown(kernels: NDArray[np.float32], row: dict[str, Any]) -> Array:
    """Scale kernels to be looked at, float64 [k, taps]: by themselves, or, where they are dead, by their layer."""
    wide = np.nan_to_num(kernels.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    peaks = np.abs(wide).max(1, keepdims=True)
    top = row["norm_linf"] or 1.0 if row["verdict"] == "dead" else np.where(peaks == 0, 1.0, peaks)
    found: Array = wide / top
    return found


def _findings(layers: pa.Table) -> Iterator[str]:
    counts = Counter(layers["verdict"].to_pylist())
    told = len(layers) - counts[None]
    yield (
        f"Of {len(layers)} layers, {told} can be judged: {counts['dead']} are dead, {counts['repeated']} repeat "
        f"themselves, {counts['random']} cannot be told from random numbers."
    )
    nine = [value for value in layers["degenerate"].to_pylist() if value is not None]
    if nine:
        yield f"The published thresholds call {sum(nine)} of {len(nine)} layers of nine taps degenerate."
