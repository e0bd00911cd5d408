"""The analysis `census`: counts of kernel sizes by year, family, task and other columns."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa

from filtercrawl.api.analysis import DatasetView, Figure, Finding, Result, ResultTable
from filtercrawl.api.formatting import format_plural
from filtercrawl_analysis.analyses.registry import empty_result
from filtercrawl_analysis.plots.census import stacked_bars
from filtercrawl_analysis.statistics.groups.column_names import name_part
from filtercrawl_analysis.statistics.groups.group_medians import ALL
from filtercrawl_analysis.statistics.groups.kernel_words import size_phrase
from filtercrawl_analysis.statistics.groups.labels import (
    Labels,
    group_labels,
    ordered_labels,
    sample_size,
    truncation_note,
)

YEAR: Final = "year"
# Kernel sizes with a color of their own, those with the most layers; the others are combined.
MAX_SIZES: Final = 6
# Bars of a figure, the groups with the most layers.
MAX_BARS: Final = 20
CENSUS: Final = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("column", "group", "kernel", "op")),
        pa.field("depthwise", pa.bool_()),
        *(pa.field(name, pa.int64()) for name in ("models", "layers", "kernels")),
    ]
)
_ABOUT: Final = (
    "Learned kernels whose weights were read, each distinct tensor once. An unknown group is null; a column of which "
    "every group is unknown is left out."
)
_ABOUT_YEAR: Final = " year: year of the release, as the source states it."


def analyze(dataset: DatasetView) -> Result:
    """Count kernels, layers and models of each kernel size, operator and group."""
    index = dataset.index
    if not len(index):
        return empty_result("no learned kernels")
    columns = dict.fromkeys((YEAR, "family", "task", *dataset.options.by))
    groups = {column: years(index) if column == YEAR else group_labels(index, column) for column in columns}
    groups = {column: labels for column, labels in groups.items() if any(label is not None for label in labels)}
    counted: dict[str, Labels] = {ALL: [ALL] * len(index), **groups}
    rows = [row for column, labels in counted.items() for row in _count_rows(index, column, labels)]
    table = ResultTable(
        name="census",
        title="Kernel sizes by group",
        rows=pa.Table.from_pylist(rows, schema=CENSUS),
        about=_ABOUT + (_ABOUT_YEAR if YEAR in groups else ""),
    )
    figures = tuple(figure for column in groups for figure in _bar_figures(index, column, groups[column]))
    return Result(tables=(table,), figures=figures, findings=(_finding(index),))


def years(index: pa.Table) -> Labels:
    """Return the release year of each layer's model, from an ISO 8601 date; None where there is no valid date."""
    dates = (value or "" for value in index["model_released"].to_pylist())
    return [date[:4] if len(date) >= 4 and date[:4].isdecimal() else None for date in dates]


def _count_rows(index: pa.Table, column: str, groups: Labels) -> Iterator[dict[str, Any]]:
    names = ("kernel", "op", "depthwise", "model_id", "n_kernels")
    counts: dict[tuple[Any, ...], tuple[set[str], list[int]]] = {}
    for group, kernel, op, depthwise, model, n in zip(groups, *(index[x].to_pylist() for x in names), strict=True):
        models, sizes = counts.setdefault((group, kernel, op, depthwise), (set(), []))
        models.add(model)
        sizes.append(n)
    ordered = sorted(
        counts.items(), key=lambda item: (item[0][0] is None, item[0][0] or "", -sum(item[1][1]), str(item[0]))
    )
    for (group, kernel, op, depthwise), (models, sizes) in ordered:
        yield {
            "column": column,
            "group": group,
            "kernel": kernel,
            "op": op,
            "depthwise": depthwise,
            "models": len(models),
            "layers": len(sizes),
            "kernels": sum(sizes),
        }


def _bar_figures(index: pa.Table, column: str, groups: Labels) -> Iterator[Figure]:
    sizes = index["kernel"].to_pylist()
    one_per_layer = np.ones(len(index), np.int64)
    kernels = ordered_labels(sizes, one_per_layer)
    shown_sizes = kernels[:MAX_SIZES]
    order = ordered_labels(groups, one_per_layer)[:MAX_BARS]
    if len(order) < 2:
        return
    bar = {group: i for i, group in enumerate(order)}
    counts = np.zeros((len(shown_sizes) + 1, len(order)))
    for group, size in zip(groups, sizes, strict=True):
        if group in bar:
            counts[shown_sizes.index(size) if size in shown_sizes else -1, bar[group]] += 1
    in_bars = index.filter(pa.array([group in bar for group in groups]))
    column_text = column.replace("_", " ")
    yield Figure(
        name=f"census_{name_part(column)}",
        title=f"Kernel sizes by {column_text}",
        caption="Share of layers of each kernel size, with the number of layers beside each bar."
        + truncation_note(order, groups),
        basis=sample_size(in_bars),
        table="census",
        draw=partial(stacked_bars, counts=counts, sizes=[*map(size_phrase, shown_sizes), "other"], groups=order),
        height=1.4 + 0.28 * len(order),
    )


def _finding(index: pa.Table) -> Finding:
    size = sample_size(index)
    sizes = ordered_labels(index["kernel"].to_pylist(), np.array(index["n_kernels"].to_pylist(), np.int64))
    largest = size_phrase(sizes[0])
    description = f"of {len(sizes)} sizes, most {largest}" if len(sizes) > 1 else f"of one size, {largest}"
    return Finding(
        text=f"The dataset holds {format_plural(size.kernels, 'learned kernel')} {description}, in "
        f"{format_plural(size.layers, 'distinct layer')} of {format_plural(size.models, 'model')}.",
        basis=size,
    )
