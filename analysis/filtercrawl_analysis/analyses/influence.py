"""The analysis `influence`: how far explained variance and drift move when each model is left out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any, Final

import pyarrow as pa
from matplotlib.ticker import PercentFormatter

from filtercrawl.api.analysis import DatasetView, Estimate, Figure, Finding, Result, ResultTable
from filtercrawl_analysis.analyses.drift_findings import group_words
from filtercrawl_analysis.analyses.registry import empty_result
from filtercrawl_analysis.plots.influence import influence_height, influence_panels
from filtercrawl_analysis.plots.names import label
from filtercrawl_analysis.statistics.components.coefficients import (
    kernel_sizes,
    scaled_moments,
    select_kernel_size,
    sketched_histograms,
)
from filtercrawl_analysis.statistics.components.model_influence import (
    EXPLAINED_VARIANCE,
    INFLUENCE,
    MIN_MODELS,
    component_influence,
    moments_by_model,
)
from filtercrawl_analysis.statistics.drift.model_influence import ModelHistograms, drift_influence
from filtercrawl_analysis.statistics.groups.kernel_words import kernel_phrase
from filtercrawl_analysis.statistics.groups.labels import POSITION, layer_groups, resolve_column, sample_size

Row = dict[str, Any]

TABLE: Final = "influence"
# Kernel sizes, those with the most kernels; of each the first components, and of each column the largest drifts.
MAX_SIZES: Final = 3
COMPONENTS: Final = 3
PAIRS: Final = 3
_ABOUT: Final = (
    "Explained variance and drift D (of sketches) of all models, and without each: what the analyses would state for a "
    "dataset without that model, computed exactly by subtracting its moments and histograms. The model that moves a "
    "number furthest is first. Components are ordered by their share, also without a model. Drift is that of the pairs "
    "with the largest D of groups of two models or more; without is null where a group would have fewer than 100 "
    "kernels. A tensor that several models share counts for the first of them only."
)


def analyze(dataset: DatasetView) -> Result:
    """Leave out each model in turn, for the kernel sizes with the most kernels."""
    index = dataset.index
    columns = [c for c in dict.fromkeys((*dataset.options.by, POSITION)) if c == POSITION or resolve_column(index, c)]
    sizes = kernel_sizes(index)[:MAX_SIZES]
    rows: list[Row] = []
    for i, kernel in enumerate(sizes):
        dataset.progress(i, len(sizes), f"one model left out, {kernel}")
        layers = select_kernel_size(index, kernel)
        units = layer_groups(layers, columns)
        moments = scaled_moments(dataset, layers, units)
        models, of_model = moments_by_model(units, moments)
        if len(models) < MIN_MODELS:
            continue
        histograms = sketched_histograms(dataset, layers, units, moments.total())
        if histograms is None:
            continue
        rows += component_influence(kernel, models, of_model, COMPONENTS)
        data = ModelHistograms(kernel=kernel, units=units, histograms=histograms, models=models, moments=of_model)
        rows += [row for column in columns for row in drift_influence(data, column, PAIRS)]
    if not rows:
        return empty_result(f"no kernel size of {MIN_MODELS} models")
    table = ResultTable(
        name=TABLE,
        title="Numbers without each model",
        rows=pa.Table.from_pylist(rows, schema=INFLUENCE),
        about=_ABOUT,
    )
    return Result(tables=(table,), figures=tuple(_figures(index, rows)), findings=tuple(influence_findings(rows)))


def _figures(index: pa.Table, rows: Sequence[Row]) -> Iterator[Figure]:
    kernel = rows[0]["kernel"]
    basis = sample_size(select_kernel_size(index, kernel))
    here = [row for row in rows if row["kernel"] == kernel]
    shares = [row for row in here if row["what"] == EXPLAINED_VARIANCE]
    panels = [
        (f"c{component}: {of_component[0]['value']:.1%}", of_component)
        for component in range(COMPONENTS)
        if (of_component := [row for row in shares if row["component"] == component])
    ]
    yield Figure(
        name="influence_explained_variance",
        title=f"Explained variance of {kernel_phrase(kernel)} with one model left out",
        caption="Share of the variance along the first components without each model. The models that move it furthest "
        "are named; all others are marks in the last row. The line is the share of all models.",
        basis=basis,
        table=TABLE,
        draw=partial(
            influence_panels, panels=panels, axis="explained variance without the model", formatter=PercentFormatter(1)
        ),
        height=influence_height(panels),
    )
    drifts = [_largest_pair(list(of_column)) for _, of_column in _by_column(here)]
    panels = [(_pair_title(pair[0]), pair) for pair in drifts]
    if panels:
        yield Figure(
            name="influence_drift",
            title=f"Drift of {kernel_phrase(kernel)} with one model left out",
            caption="Drift D (of sketches) without each model, for the pair of groups of each column with the largest "
            "D. The models that move it furthest are named; all others are marks in the last row. The line is D of all "
            "models.",
            basis=basis,
            table=TABLE,
            draw=partial(influence_panels, panels=panels, axis="drift D without the model"),
            height=influence_height(panels),
        )


def _by_column(rows: Sequence[Row]) -> Iterator[tuple[str, Iterator[Row]]]:
    return groupby((row for row in rows if row["what"] == "drift"), key=lambda row: row["column"])


def _largest_pair(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of the first pair, which has the largest drift."""
    first = (rows[0]["group_a"], rows[0]["group_b"])
    return [row for row in rows if (row["group_a"], row["group_b"]) == first]


def _pair_title(row: Row) -> str:
    column = row["column"].replace("_", " ")
    return f"by {column}: D = {row['value']:.2g}\n{label(row['group_a'], 16)} | {label(row['group_b'], 16)}"


def _relative_change(row: Row) -> float:
    """Return the magnitude of a change over the number of all models, which may be 0."""
    return math.inf if row["value"] == 0 and row["change"] else abs(row["change"]) / (row["value"] or 1.0)


def influence_findings(rows: Sequence[Row]) -> Iterator[Finding]:
    """Yield which model moves the first component furthest, and which drift depends most on a single model.

    Args:
        rows: The table `influence`; the first row is of the first component.
    """
    first = rows[0]
    if first["without"] is not None:
        yield Finding(
            text=f"No model moves the share of the first component of {kernel_phrase(first['kernel'])} further than "
            f"{first['model_id']}: {first['value']:.1%} with all models, {first['without']:.1%} without it.",
            table=TABLE,
            row=0,
            figure="influence_explained_variance",
            estimate=Estimate(
                label=f"percentage points: the change without {first['model_id']} in the share of the variance of "
                f"{kernel_phrase(first['kernel'])} along their first component, from {first['value']:.1%} to "
                f"{first['without']:.1%}",
                value=100 * first["change"],
                note="no model moves it further",
            ),
        )
    moved = [
        (position, row)
        for position, row in enumerate(rows)
        if row["what"] == "drift" and row["kernel"] == first["kernel"] and row["change"] is not None
    ]
    if moved:
        position, row = max(moved, key=lambda item: _relative_change(item[1]))
        pair = " and ".join(group_words(row, side, row["column"]) for side in ("a", "b"))
        yield Finding(
            text=f"Of the largest drifts of {kernel_phrase(row['kernel'])}, the one that depends most on a single "
            f"model is between {pair} (by {row['column'].replace('_', ' ')}): D = "
            f"{row['value']:.2g}, and {row['without']:.2g} without {row['model_id']}.",
            table=TABLE,
            row=position,
            figure="influence_drift",
            estimate=Estimate(
                label=f"change without {row['model_id']} of the drift D between {pair}, from {row['value']:.2g} to "
                f"{row['without']:.2g}",
                value=row["change"],
                note="relative to D, no model moves one of these drifts further",
            ),
        )
