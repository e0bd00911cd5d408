"""The analysis `published`: values of CNN Filter DB for 3x3 kernels, beside those of this dataset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa

from filtercrawl.api.analysis import DatasetView, Estimate, Finding, Result, ResultTable
from filtercrawl_analysis.analyses.drift_findings import group_words
from filtercrawl_analysis.analyses.published_figures import published_figures
from filtercrawl_analysis.analyses.registry import empty_result
from filtercrawl_analysis.statistics.components.coefficients import (
    CoefficientHistograms,
    coefficient_histograms,
    scaled_moments,
    select_kernel_size,
)
from filtercrawl_analysis.statistics.components.explained_variance import SizeComponents, components_of_size
from filtercrawl_analysis.statistics.drift.divergence import paired_drift, probabilities
from filtercrawl_analysis.statistics.drift.floor import expected_drift
from filtercrawl_analysis.statistics.drift.group_cells import MIN_KERNELS
from filtercrawl_analysis.statistics.drift.published_values import (
    KERNEL,
    PublishedValue,
    compared_columns,
    published_values,
)
from filtercrawl_analysis.statistics.groups.labels import LayerGroups, layer_groups, resolve_column
from filtercrawl_analysis.statistics.quality.model_means import model_means

Row = dict[str, Any]

SCHEMA: Final = pa.schema(
    [
        pa.field("what", pa.string()),
        pa.field("kernel", pa.string()),
        pa.field("component", pa.int32()),
        *(pa.field(name, pa.string()) for name in ("group_a", "group_b")),
        *(pa.field(name, pa.float64()) for name in ("published", "tolerance", "ours", "low", "high", "ours_floor")),
        pa.field("mode", pa.string()),
        pa.field("comparable", pa.bool_()),
        pa.field("note", pa.string()),
    ]
)
_ABOUT: Final = (
    "Values of CNN Filter DB (arXiv 2203.15331; 1,464,797,156 kernels of 647 models) for which this dataset has one as "
    "well; tolerance: how exactly the published one is known; low, high: 95 % interval of our explained variance by "
    "the jackknife over models; ours_floor: the D that groups of equal distributions would have at our numbers of "
    "kernels. comparable: whether both are defined alike; the models differ, so equal values are not to be expected. "
    "Drifts are read off a figure. The published kernels are probably those of ONNX exports, with batch normalization "
    "folded in; ours are as stored."
)
_SCALED: Final = "same definition: kernels cast to float16, then divided by their largest magnitude"
_EXACT: Final = "same definition; components and range of the histograms are those of this dataset"
_SKETCH: Final = "other basis and range than the paper's: compare with analyze --exact"


def analyze(dataset: DatasetView) -> Result:
    """Put the published values beside those of the dataset: explained variance, mean kernel, and drift."""
    layers = select_kernel_size(dataset.index, KERNEL)
    if not len(layers):
        return empty_result("no learned 3x3 kernels")
    dataset.progress(0, 2, "principal components, to compare with published values")
    columns = [column for column in compared_columns() if resolve_column(layers, column)]
    units = layer_groups(layers, columns)
    components = components_of_size(layers, units, scaled_moments(dataset, layers, units))
    if components is None:
        return empty_result("no 3x3 kernels that differ")
    dataset.progress(1, 2, "drift, to compare with published values")
    rows = [*_component_rows(components), *_drift_rows(dataset, layers, units, columns)]
    dataset.progress(2, 2, "published values")
    table = ResultTable(
        name="published",
        title="Published values and ours",
        rows=pa.Table.from_pylist(rows, schema=SCHEMA),
        about=_ABOUT,
    )
    models = model_means(layers)
    tables = [table]
    if len(models):
        about = "Means over the layers of 3x3 kernels of a model, each layer once."
        tables.append(
            ResultTable(name="published_models", title="Sparsity and entropy of models", rows=models, about=about)
        )
    figures = tuple(published_figures(layers, rows, models))
    return Result(tables=tuple(tables), figures=figures, findings=tuple(_findings(rows)))


def _component_rows(size: SizeComponents) -> Iterator[Row]:
    ours = {"explained_variance": size.components.explained_variance, "mean": size.components.mean}
    for value in published_values():
        if value.what in ours and value.component is not None:
            found = float(ours[value.what][value.component])
            row = _row(value) | {"ours": found, "low": None, "high": None, "comparable": True, "note": _SCALED}
            if value.what == "explained_variance" and size.low is not None and size.high is not None:
                row |= {"low": float(size.low[value.component]), "high": float(size.high[value.component])}
            yield row


def _drift_rows(dataset: DatasetView, layers: pa.Table, units: LayerGroups, columns: list[str]) -> Iterator[Row]:
    wanted = [
        value
        for value in published_values()
        if value.what.removeprefix("drift_") in columns and min(_kernels(units, value)) >= MIN_KERNELS
    ]
    if not wanted:
        return  # do not read the kernels
    histograms = coefficient_histograms(dataset, layers, units)
    if histograms is None:
        return
    mode = histograms.space.mode
    for value in wanted:
        drift, floor = _drift(histograms, units, value)
        yield _row(value) | {
            "ours": drift,
            "ours_floor": floor,
            "mode": mode,
            "comparable": mode == "exact",
            "note": _EXACT if mode == "exact" else _SKETCH,
        }


def _members(units: LayerGroups, value: PublishedValue) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which units belong to each of the two groups of a drift, bool [2, units]."""
    labels = units.labels[value.what.removeprefix("drift_")]
    groups = (value.group_a, value.group_b)
    return np.array([[label is not None and label == group for label in labels] for group in groups])


def _kernels(units: LayerGroups, value: PublishedValue) -> list[int]:
    return [int(units.kernels[member].sum()) for member in _members(units, value)]


def _drift(histograms: CoefficientHistograms, units: LayerGroups, value: PublishedValue) -> tuple[float, float]:
    """Return the drift D between two groups, and its floor."""
    counts = np.stack([histograms.counts[member].sum(0) for member in _members(units, value)])
    width, weights = histograms.space.bin_width, histograms.space.weights
    first, second = probabilities(counts, width)
    pooled = counts.sum(0) / counts.sum(0).sum(-1, keepdims=True)
    kernels = counts[:, 0].sum(-1).tolist()
    floor = expected_drift(pooled, (float(kernels[0]), float(kernels[1])), weights, width)
    return float(paired_drift(first, second, weights)), floor


def _row(value: PublishedValue) -> Row:
    return {
        "what": value.what,
        "kernel": KERNEL,
        "component": value.component,
        "group_a": value.group_a,
        "group_b": value.group_b,
        "published": value.value,
        "tolerance": value.tolerance,
    }


def _findings(rows: list[Row]) -> Iterator[Finding]:
    first = rows[0]
    yield Finding(
        text=f"The first component of 3x3 kernels explains {first['ours']:.1%} of their variance here and "
        f"{first['published']:.1%} in CNN Filter DB (same definition, other models).",
        table="published",
        row=0,
    )
    drifts = [(i, row) for i, row in enumerate(rows) if row["what"].startswith("drift_")]
    if drifts:
        position, row = max(drifts, key=lambda item: (item[1]["published"], -item[0]))
        column = row["what"].removeprefix("drift_")
        pair = " and ".join(group_words(row, side, column) for side in ("a", "b"))
        comparable = "same definition, other models" if row["comparable"] else "not comparable: another basis and range"
        # A number that cannot be compared is in no figure, so it is no headline either.
        estimate = Estimate(
            label=f"drift D between {pair} here; published: {row['published']:.3f}",
            value=row["ours"],
            note=f"equal distributions would give {row['ours_floor']:.3f}; {comparable}",
        )
        yield Finding(
            text=f"Of {len(drifts)} pairs of groups with a published drift, the largest published one is between "
            f"{pair} (by {column.replace('_', ' ')}): D = {row['published']:.3f} published and {row['ours']:.3f} here, "
            f"where equal distributions would give {row['ours_floor']:.3f} ({comparable}).",
            table="published",
            row=position,
            figure="published_drift" if row["comparable"] else None,
            estimate=estimate if row["comparable"] else None,
            columns=(column,),
        )
