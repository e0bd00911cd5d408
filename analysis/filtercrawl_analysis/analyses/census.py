"""The analysis `census`: how many kernels of which size there are, by year, family, task and other columns."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa

from filtercrawl.api.analysis import DatasetView, Figure, Result, ResultTable
from filtercrawl_analysis.analyses.empty_result import empty_result
from filtercrawl_analysis.plots.census import stacked_bars
from filtercrawl_analysis.statistics.groups import Labels, group_labels, ordered_labels, sample_size, truncation_note

YEAR: Final = "year"
# Sizes with a colour of their own, those with the most layers; the others are drawn as one.
COLOURED: Final = 6
# Bars of a figure, those of the groups with the most kernels.
BARS: Final = 20
CENSUS: Final = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("column", "group", "kernel", "op")),
        pa.field("depthwise", pa.bool_()),
        *(pa.field(name, pa.int64()) for name in ("models", "layers", "kernels")),
    ]
)
_ABOUT: Final = (
    "Learned kernels of final checkpoints whose weights were read, each distinct tensor once. year: of the release "
    "that the source states. A group that is not known is null."
)


def analyze(dataset: DatasetView) -> Result:
    """Count kernels, layers and models of each kernel size, operator and group."""
    index = dataset.index
    if not len(index):
        return empty_result("no learned kernels")
    columns = tuple(dict.fromkeys((YEAR, "family", "task", *dataset.options.by)))
    groups = {column: years(index) if column == YEAR else group_labels(index, column) for column in columns}
    rows = [row for column in columns for row in _counted(index, column, groups[column])]
    table = ResultTable(
        name="census", title="Kernel sizes by group", rows=pa.Table.from_pylist(rows, schema=CENSUS), about=_ABOUT
    )
    figures = tuple(figure for column in columns for figure in _bars(index, column, groups[column]))
    return Result(tables=(table,), figures=figures, findings=(_finding(index),))


def years(index: pa.Table) -> Labels:
    """Return the year of each layer's release, from an ISO 8601 date; None where it is unknown or none."""
    dates = (value or "" for value in index["model_released"].to_pylist())
    return [date[:4] if len(date) >= 4 and date[:4].isdecimal() else None for date in dates]


def _counted(index: pa.Table, column: str, groups: Labels) -> Iterator[dict[str, Any]]:
    names = ("kernel", "op", "depthwise", "model_id", "n_kernels")
    found: dict[tuple[Any, ...], tuple[set[str], int, int]] = {}
    for group, kernel, op, depthwise, model, n in zip(groups, *(index[x].to_pylist() for x in names), strict=True):
        models, layers, kernels = found.get((group, kernel, op, depthwise), (set(), 0, 0))
        found[group, kernel, op, depthwise] = models | {model}, layers + 1, kernels + n
    ordered = sorted(found.items(), key=lambda item: (item[0][0] is None, item[0][0] or "", -item[1][2], str(item[0])))
    for (group, kernel, op, depthwise), (models, layers, kernels) in ordered:
        yield {
            "column": column,
            "group": group,
            "kernel": kernel,
            "op": op,
            "depthwise": depthwise,
            "models": len(models),
            "layers": layers,
            "kernels": kernels,
        }


def _bars(index: pa.Table, column: str, groups: Labels) -> Iterator[Figure]:
    sizes = index["kernel"].to_pylist()
    ones = np.ones(len(index), np.int64)
    kernels = ordered_labels(sizes, ones)
    named = kernels[:COLOURED]
    order = ordered_labels(groups, ones)[:BARS]
    if len(order) < 2:
        return
    place = {group: i for i, group in enumerate(order)}
    counts = np.zeros((len(named) + 1, len(order)))
    for group, size in zip(groups, sizes, strict=True):
        if group in place:
            counts[named.index(size) if size in named else -1, place[group]] += 1
    kept = index.filter(pa.array([group in place for group in groups]))
    words = column.replace("_", " ")
    yield Figure(
        name=f"census_{column}",
        title=f"Kernel sizes by {words}",
        caption="Share of layers of each kernel size; beside each bar, the number of layers."
        + truncation_note(order, groups),
        basis=sample_size(kept),
        table="census",
        draw=partial(stacked_bars, counts=counts, sizes=[*named, "other"], groups=order),
        height=1.4 + 0.28 * len(order),
    )


def _finding(index: pa.Table) -> str:
    rests = sample_size(index)
    sizes = ordered_labels(index["kernel"].to_pylist(), np.array(index["n_kernels"].to_pylist(), np.int64))
    kinds = f"of {len(sizes)} sizes, most {sizes[0]}" if len(sizes) > 1 else f"of one size, {sizes[0]}"
    return (
        f"The dataset holds {rests.kernels:,} learned kernels {kinds}, in {rests.layers:,} distinct layers of "
        f"{rests.models:,} models."
    )
