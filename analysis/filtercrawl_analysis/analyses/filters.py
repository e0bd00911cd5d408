"""The analysis `filters`: every filter with its norms and its twin, and a user's table of filters joined to it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa

from filtercrawl.api.analysis import DatasetView, Figure, Result, ResultTable
from filtercrawl.api.spooled_rows import SpooledRows
from filtercrawl_analysis.analyses.filter_findings import filter_findings
from filtercrawl_analysis.analyses.registry import empty_result
from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.numerics.one_thread import one_thread
from filtercrawl_analysis.plots.filters import correlation_bars, largest_shares, shares_by_model, twin_histogram
from filtercrawl_analysis.statistics.filters.correlations import FilterCorrelations
from filtercrawl_analysis.statistics.filters.filter_rows import (
    FILTER_SCHEMA,
    LAYER_FIELDS,
    filter_batch,
    layer_row,
    model_rows,
)
from filtercrawl_analysis.statistics.filters.joined_table import JoinedTable, numbers
from filtercrawl_analysis.statistics.filters.layer_filters import LayerFilters, copies_of_independent, layer_filters
from filtercrawl_analysis.statistics.filters.twin_counts import TwinCounts
from filtercrawl_analysis.statistics.groups.group_medians import group_medians
from filtercrawl_analysis.statistics.groups.labels import sample_size
from filtercrawl_analysis.statistics.groups.resampling import random_generator
from filtercrawl_analysis.statistics.whole_layers import WholeLayer, whole_layers

MEASURES: Final = ("dead_filter_share", "copy_share", "twin_similarity")
# Rows of the table of filters that are kept in memory, and written as text if there are no more.
_ROWS_IN_MEMORY: Final = 10_000
_INDEX_COLUMNS: Final = (
    "layer_id", "model_id", "layer_sha256", "kernel", "shape", "groups", "depthwise", "depth_decile", "n_kernels",
)  # fmt: skip
_FILTERS: Final = (
    "A filter is what one output channel convolves with, [in / groups, *kernel_size]; its id is that of the layer, a "
    "colon and the channel from 0. energy_share: of the sum of squares of the layer. twin: the other filter of the "
    "layer with the largest magnitude of the cosine. dead: its largest magnitude is below a hundredth of the median "
    "one of the live filters, the fewest that hold 99 % of the energy. copy: not dead, and it differs from a multiple "
    "of its twin by at most 5 % of its norm. Null for filters with NaN or infinities."
)
_LAYERS: Final = (
    "Shares of the finite filters. copy_share_independent: of as many independent normal filters with the second "
    "moments of the live ones, one random layer, for layers that have copies. twin_similarity: median magnitude of the "
    "cosine of live filters with their twins; negative_twin_share: share of twins of opposite sign."
)
_MODELS: Final = (
    "Filters of all layers. copies: none; more than independent filters, where fewer than 5 % of them are expected "
    "among these; or not told apart. twin_similarity: median over layers."
)
_MEDIANS: Final = (
    "A model counts once, by the median of its layers of the kernel size and group; columns as in shape_medians, "
    "without a value of random weights."
)
_TWINS: Final = "Filters that are not dead, by the magnitude of the cosine with their twin, in bins of 0.02."
_JOINED: Final = (
    "Spearman's rank correlation of each column of numbers of the joined table with measures of the filters: of all "
    "filters, and within layers, the mean weighted by the filters of a layer less one. p: of the latter, where the "
    "filters of each layer are exchanged at random; q: adjusted over the table (Benjamini-Hochberg). low, high: 95 % "
    "interval of the median over models. verdict: higher or lower where q <= 0.05."
)


@one_thread()
def analyze(dataset: DatasetView) -> Result:
    """Measure every filter, write them while layers are read, and correlate a joined table with them."""
    index = dataset.index
    joined = JoinedTable.read(dataset.options.join) if dataset.options.join else None
    if not len(index):
        return empty_result("no learned kernels")
    spooled = SpooledRows(pa.schema([*FILTER_SCHEMA, *(joined.fields if joined else ())]))
    correlations, twins = FilterCorrelations(), TwinCounts()
    rows: list[dict[str, Any]] = [{}] * len(index)
    matched = 0
    for done, layer in enumerate(whole_layers(dataset, index)):
        dataset.progress(done, len(index), "filters of layers")
        filters = layer_filters(layer.weight, dataset.options.device)
        rows[layer.position] = layer_row(filters, _independent(dataset, layer, filters))
        twins.add(filters, layer.weight[0].size)
        batch = filter_batch(layer.row["layer_id"], layer.row["model_id"], filters)
        if joined is not None:
            columns, found = joined.of_layer(layer.row["layer_id"], len(filters))
            matched += found
            batch = pa.record_batch([*batch.columns, *columns], schema=spooled.schema)
            if found:
                names = [field.name for field in joined.fields]
                values = {n: numbers(c) for n, c in zip(names, columns, strict=True) if n in joined.numeric}
                correlations.add(layer.row["model_id"], values, _measures(filters))
        spooled.append(batch)
    facts = index.select(_INDEX_COLUMNS)
    merged = [fact | row for fact, row in zip(facts.to_pylist(), rows, strict=True)]
    layers = pa.Table.from_pylist(merged, schema=pa.schema([*facts.schema, *LAYER_FIELDS]))
    models = model_rows(merged)
    no_reference = dict.fromkeys(layers["kernel"].to_pylist(), dict.fromkeys(MEASURES))
    medians = group_medians(layers, index, dataset.options.by, MEASURES, no_reference)
    head = spooled.first(_ROWS_IN_MEMORY)
    correlated = correlations.table()
    tables = (
        ResultTable(name="filters", title="Filters", rows=head, about=_FILTERS, batches=spooled.batches),
        ResultTable(name="layer_filters", title="Filters of every layer", rows=layers, about=_LAYERS),
        ResultTable(name="model_filters", title="Filters of models", rows=models, about=_MODELS),
        ResultTable(name="filter_medians", title="Filters, medians over models", rows=medians, about=_MEDIANS),
        ResultTable(name="twin_similarity", title="Similarity of twins", rows=twins.table(), about=_TWINS),
        ResultTable(
            name="filter_correlations",
            title="Joined columns and measures of filters",
            rows=correlated,
            about=_JOINED,
        ),
    )
    coverage = None if joined is None else (matched, joined.n_rows)
    return Result(
        tables=tables,
        figures=tuple(_figures(layers, models, twins, correlated)),
        findings=tuple(filter_findings(models, medians, correlated, coverage)),
    )


def _independent(dataset: DatasetView, layer: WholeLayer, filters: LayerFilters) -> float | None:
    """Return the share of copies among independent filters: 0 without a simulation for a layer that has none."""
    if not filters.copy.any():
        return 0.0
    random = random_generator(dataset.options.seed, "copies", layer.row["layer_sha256"])
    return copies_of_independent(layer.weight, filters, random)


def _measures(filters: LayerFilters) -> dict[str, Array]:
    return {
        "norm_l2": filters.norm_l2,
        "energy_share": filters.energy_share,
        "twin_similarity": np.abs(filters.twin_cosine),
    }


def _figures(layers: pa.Table, models: pa.Table, twins: TwinCounts, correlated: pa.Table) -> Iterator[Figure]:
    basis = sample_size(layers)
    if twins.total:
        yield Figure(
            name="twin_similarity",
            title="Similarity of each filter to its twin",
            caption="Share of the filters that are not dead, by the magnitude of the cosine with the most similar "
            "other filter of their layer. Copies are at the right end. Filters of few weights have more similar twins, "
            "also by chance.",
            basis=basis,
            table="twin_similarity",
            draw=partial(twin_histogram, rows=twins.table().to_pylist()),
        )
    largest = largest_shares(models.to_pylist())
    if largest:
        yield Figure(
            name="dead_and_copied_filters",
            title="Dead and copied filters by model",
            caption=f"The {len(largest)} models with the largest share of dead filters and copies.",
            basis=basis,
            table="model_filters",
            draw=partial(shares_by_model, rows=largest),
            height=1.2 + 0.28 * len(largest),
        )
    known = [row for row in correlated.to_pylist() if row["within_layers"] is not None]
    if known:
        yield Figure(
            name="filter_correlations",
            title="Joined columns and measures of filters",
            caption="Rank correlation within layers; lines, 95 % intervals of the median over models, for five models "
            "or more. Filled where the filters of a layer cannot be exchanged (q <= 0.05).",
            basis=basis,
            table="filter_correlations",
            draw=partial(correlation_bars, rows=known),
            height=1.2 + 0.3 * len(known),
        )
