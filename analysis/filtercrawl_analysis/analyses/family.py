"""The analysis `family`: how far each model is from the others of its family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from filtercrawl.api.analysis import DatasetView, Figure, Result, ResultTable
from filtercrawl_analysis.analyses.family_findings import family_findings
from filtercrawl_analysis.analyses.registry import empty_result
from filtercrawl_analysis.plots.family import MIN_SHOWN, family_strips, largest_families, strips_height
from filtercrawl_analysis.statistics.components.coefficients import (
    kernel_sizes,
    scaled_moments,
    select_kernel_size,
    sketched_histograms,
)
from filtercrawl_analysis.statistics.family.family_rows import (
    DECILE,
    DEPTH,
    FAMILY,
    FamilyHistograms,
    Row,
    depth_rows,
    family_rows,
    judged_rows,
)
from filtercrawl_analysis.statistics.family.outlier_test import MIN_MODELS
from filtercrawl_analysis.statistics.groups.kernel_words import kernel_phrase
from filtercrawl_analysis.statistics.groups.labels import layer_groups, sample_size

TABLE: Final = "family_distance"
_DISTANCE: Final = (
    "distance: D (of sketches) between the kernels of a model and those of the other models of its family, each of "
    "which has the same weight, after all are thinned to one number of kernels (tested_kernels), as small samples are "
    "far from everything; the page Analyses of the documentation has the formula. It is not the drift of two groups: "
    "there large models count more, and empty bins otherwise. rank: 1 for the farthest of so many models. "
    "others_median, others_low, others_high: median and range of the distances of the others, each from the rest. "
)
_ABOUT: Final = (
    f"{_DISTANCE}times_median: distance over others_median. p_rank: share of the models that are at least as far, "
    "itself counted: the p-value of a model that was chosen beforehand (Vovk, Gammerman and Shafer 2005); of n models "
    "none is below 1/n, and some model always has 1/n. p: the probability that one more model of the family is as far, "
    "if square roots of distances have an exponential tail as the upper half of the others shows it (Davison and Smith "
    f"1990). q: p after Benjamini-Hochberg over the table. verdict: of {MIN_MODELS} models or more, differs where q <= "
    "0.05 and p_rank <= 0.05, else no difference found; too little to tell of fewer. A tensor that several models "
    "share counts for the first of them only."
)
_ABOUT_DEPTH: Final = f"{_DISTANCE}Of layers in one tenth of the depth; described, not tested."


def analyze(dataset: DatasetView) -> Result:
    """Compare each model with the others of its family, for every kernel size."""
    index = dataset.index.filter(pc.is_valid(dataset.index["family"]))
    rows: list[Row] = []
    by_depth: list[Row] = []
    sizes = kernel_sizes(index)
    for i, kernel in enumerate(sizes):
        dataset.progress(i, len(sizes), f"models in their family, {kernel}")
        layers = select_kernel_size(index, kernel)
        units = layer_groups(layers, ("family", DECILE))
        if len(set(units.labels["model_id"])) < 2:
            continue
        every = select_kernel_size(dataset.index, kernel)  # the components have the weights of `drift_basis`
        total = scaled_moments(dataset, every, layer_groups(every, ())).total()
        histograms = sketched_histograms(dataset, layers, units, total)
        if histograms is None:
            continue
        data = FamilyHistograms(kernel=kernel, units=units, histograms=histograms, seed=dataset.options.seed)
        rows += family_rows(data)
        by_depth += depth_rows(data)
    dataset.progress(len(sizes), len(sizes), "models in their family")
    if not any(row["distance"] is not None for row in rows):
        return empty_result("no two models of one family with enough kernels of one size")
    rows = judged_rows(rows)
    return Result(
        tables=tuple(_tables(rows, by_depth)),
        figures=tuple(_figures(index, rows)),
        findings=tuple(family_findings(rows, TABLE)),
    )


def _tables(rows: Sequence[Row], by_depth: Sequence[Row]) -> Iterator[ResultTable]:
    yield ResultTable(
        name=TABLE,
        title="Distance of models from their family",
        rows=pa.Table.from_pylist(list(rows), schema=FAMILY),
        about=_ABOUT,
    )
    if by_depth:
        yield ResultTable(
            name=f"{TABLE}_depth",
            title="Distance of models from their family, by depth",
            rows=pa.Table.from_pylist(list(by_depth), schema=DEPTH),
            about=_ABOUT_DEPTH,
        )


def _figures(index: pa.Table, rows: Sequence[Row]) -> Iterator[Figure]:
    """Yield a figure of the kernel size that most models are compared in."""
    known = [row for row in rows if row["distance"] is not None and row["models"] >= MIN_SHOWN]
    if not known:
        return
    counts: dict[str, int] = {}
    for row in known:
        counts[row["kernel"]] = counts.get(row["kernel"], 0) + 1
    kernel = max(counts, key=lambda name: counts[name])
    families = largest_families([row for row in known if row["kernel"] == kernel])
    models = pa.array([row["model_id"] for members in families.values() for row in members])
    layers = select_kernel_size(index, kernel)
    n_families = len({row["family"] for row in known if row["kernel"] == kernel})
    few = f" The {len(families)} largest of {n_families} families." if len(families) < n_families else ""
    yield Figure(
        name=TABLE,
        title=f"Distance of models from their family, {kernel_phrase(kernel)}",
        caption="One mark a model: distance from the mean of the other models of its family. The farthest of each "
        "family is named; marks are filled where the verdict is that the model differs. The line is the median. "
        f"Distances of two families can be compared only if both are thinned to the same number of kernels.{few}",
        basis=sample_size(layers.filter(pc.is_in(layers["model_id"], models))),
        table=TABLE,
        draw=partial(family_strips, families=families),
        height=strips_height(families),
    )
