"""The analysis `drift`: drift between groups of layers, with bootstrap intervals and permutation nulls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

import pyarrow as pa

from filtercrawl.api.analysis import DatasetView, Figure, Result, ResultTable, SampleSize
from filtercrawl_analysis.analyses.registry import empty_result
from filtercrawl_analysis.plots.drift import heat_map, intervals
from filtercrawl_analysis.statistics.coefficients import (
    CoefficientSpace,
    coefficient_histograms,
    kernel_sizes,
    select_kernel_size,
)
from filtercrawl_analysis.statistics.groups import POSITION, layer_groups, resolve_column
from filtercrawl_analysis.statistics.pairwise import DRIFT, GROUPS, MATCHED, Comparison, compare_groups, rows_of

# Columns that describe the architecture of a network, the finer first: drift is matched by each.
STRATA: Final = ("architecture", "family")
# Kernel sizes in heat maps, those with the most kernels; tables have all.
MAX_SIZES: Final = 3
# Pairs in the figure of intervals, those with the largest drift.
MAX_PAIRS: Final = 20
BASIS: Final = pa.schema(
    [
        pa.field("kernel", pa.string()),
        pa.field("mode", pa.string()),
        pa.field("component", pa.int32()),
        pa.field("weight", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("vector", pa.list_(pa.float64())),
        pa.field("mean", pa.list_(pa.float64())),
    ]
)
_MODES: Final = {
    "sketch": "Coefficients are those of the fixed DCT-II basis, in 70 bins over its fixed range, each weighted by its "
    "share of the variance.",
    "exact": "Coefficients are those of the principal components of all kernels, in 70 bins over their own range, each "
    "weighted by its share of the variance.",
}
_ABOUT: Final = (
    "Drift D is the sum over components of their weight times the symmetric Kullback-Leibler divergence (natural "
    "logarithm) of the coefficients of scaled kernels (arXiv 2203.15331). low, high: 95 % interval from resampling "
    "models with replacement, corrected for the bias of small samples, so that it may lie below D; null where a group "
    "has one model. null_median, null_high (97.5 %), p: when the models of the pair are assigned to two groups of "
    "these sizes at random; q: p adjusted over all pairs (Benjamini-Hochberg). verdict: `shift` where low "
    "exceeds null_high, "
    "`unclear` where only p <= 0.05, else `no shift`."
)
_ABOUT_MATCHED: Final = (
    "Only architectures (or families) that both groups have, each with the same weight in both groups; strata: their "
    "number; fewest_models, most_models: in one of them in one group. Models are resampled and assigned within each. "
    + _ABOUT
)


def analyze(dataset: DatasetView) -> Result:
    """Compare the groups of every column of `options.by`, and the positions in the network."""
    index, options = dataset.index, dataset.options
    sizes = kernel_sizes(index)
    if not sizes:
        return empty_result("no learned kernels of 2 to 49 taps")
    requested = dict.fromkeys((*options.by, POSITION))
    columns = [name for name in requested if name == POSITION or resolve_column(index, name)]
    compared: dict[str, list[Comparison]] = {name: [] for name in columns}
    spaces: list[tuple[str, CoefficientSpace]] = []
    for i, kernel in enumerate(sizes):
        dataset.progress(i, len(sizes), f"drift, {kernel}")
        layers = select_kernel_size(index, kernel)
        units = layer_groups(layers, (*columns, *STRATA))
        if all(len(set(units.labels[name]) - {None}) < 2 for name in columns):
            continue  # nothing to compare: do not read the sketches
        histograms = coefficient_histograms(dataset, layers, units)
        if histograms is None:
            continue
        spaces.append((kernel, histograms.space))
        for name in columns:
            compared[name].append(
                compare_groups(name, kernel, units, histograms, STRATA, options.resamples, options.seed)
            )
    dataset.progress(len(sizes), len(sizes), "drift")
    if not any(item.plain for items in compared.values() for item in items):
        return empty_result("no column has two groups to compare")
    return Result(
        tables=tuple(_tables(compared, spaces)),
        figures=tuple(_figures(compared, spaces[0][1].mode)),
        findings=tuple(_findings(compared)),
    )


def _tables(compared: dict[str, list[Comparison]], spaces: list[tuple[str, CoefficientSpace]]) -> Iterator[ResultTable]:
    mode = _MODES[spaces[0][1].mode]
    for column, items in compared.items():
        column_text = column.replace("_", " ")
        if rows := list(rows_of(items, "plain")):
            table = pa.Table.from_pylist(rows, schema=DRIFT)
            yield ResultTable(
                name=f"drift_{column}", title=f"Drift by {column_text}", rows=table, about=f"{mode} {_ABOUT}"
            )
        if rows := list(rows_of(items, "matched")):
            table = pa.Table.from_pylist(rows, schema=MATCHED)
            about = f"{_ABOUT_MATCHED} {mode}"
            title = f"Drift by {column_text}, architectures matched"
            yield ResultTable(name=f"drift_matched_{column}", title=title, rows=table, about=about)
    groups = [row for items in compared.values() for row in rows_of(items, "groups")]
    yield ResultTable(
        name="drift_groups",
        title="Compared groups",
        rows=pa.Table.from_pylist(groups, schema=GROUPS),
        about="Groups of fewer than 100 kernels are left out (compared is false). A tensor that several models share "
        "counts for the first of them only.",
    )
    yield ResultTable(
        name="drift_basis",
        title="Basis and bins of the coefficients",
        rows=pa.Table.from_pylist(list(_basis(spaces)), schema=BASIS),
        about=f"{mode} Drifts of two runs can be compared only if basis and range are the same. If only the weights "
        "differ, as they do when kernels are added, by_component of the tables gives D for the weights of either.",
    )


def _basis(spaces: Sequence[tuple[str, CoefficientSpace]]) -> Iterator[dict[str, object]]:
    for kernel, space in spaces:
        for component, (vector, weight) in enumerate(zip(space.basis, space.weights, strict=True)):
            yield {
                "kernel": kernel,
                "mode": space.mode,
                "component": component,
                "weight": float(weight),
                "low": space.low,
                "high": space.high,
                "vector": vector.tolist(),
                "mean": space.mean.tolist(),
            }


def _figures(compared: dict[str, list[Comparison]], mode: str) -> Iterator[Figure]:
    for column, items in compared.items():
        column_text = column.replace("_", " ")
        for item in [item for item in items if item.plain][:MAX_SIZES]:
            models = {row["group"]: row["models"] for row in item.groups}
            compared_groups = [row for row in item.groups if row["compared"]]
            side = min(9.0, 3.2 + 0.32 * len(item.names))
            size = SampleSize(
                kernels=sum(row["kernels"] for row in compared_groups),
                layers=sum(row["layers"] for row in compared_groups),
                models=item.models,
            )
            yield Figure(
                name=f"drift_{column}_{item.kernel}",
                title=f"Drift by {column_text}, {item.kernel}",
                caption=f"Drift D between groups of {item.kernel} kernels; models in brackets. {_MODES[mode]} The "
                "table has intervals and null distributions.",
                basis=size,
                table=f"drift_{column}",
                draw=partial(
                    heat_map, drift=item.drift, names=item.names, models=[models[n] for n in item.names], column=column
                ),
                width=side + 1,
                height=side,
            )
            with_null = [row for row in item.plain if row["null_high"] is not None]
            top = sorted(with_null, key=lambda row: -row["drift"])[:MAX_PAIRS]
            if top and item is next(item for item in items if item.plain):
                yield Figure(
                    name=f"drift_{column}_chance",
                    title=f"Drift by {column_text} with its null distribution, {item.kernel}",
                    caption=f"The pairs with the largest drift: D, its 95 % interval where both groups have more than "
                    "one model, and as a bar the 97.5 % quantile of D when models are assigned at random. "
                    f"{_MODES[mode]}",
                    basis=size,
                    table=f"drift_{column}",
                    draw=partial(intervals, pairs=top),
                    height=1.2 + 0.26 * len(top),
                )


def _findings(compared: dict[str, list[Comparison]]) -> Iterator[str]:
    for column, items in compared.items():
        item = next((item for item in items if item.plain), None)
        if item is None:
            continue
        column_text = column.replace("_", " ")
        shifts = [row for row in item.plain if row["verdict"] == "shift"]
        if not shifts:
            n_with_verdict = sum(row["verdict"] is not None for row in item.plain)
            pairs = f"pair of groups of {item.kernel} kernels"
            if n_with_verdict:
                tested = f"({n_with_verdict} of {len(item.plain)} pairs have enough models to test)"
                yield f"By {column_text}, no {pairs} drifts significantly {tested}."
            else:
                yield f"By {column_text}, no {pairs} has enough models to test for drift."
            continue
        top = max(shifts, key=lambda row: row["drift"])
        matched = [r for r in item.matched if (r["group_a"], r["group_b"]) == (top["group_a"], top["group_b"])]
        matched_text = "".join(
            f" With {row['matched_by']} matched, D = {row['drift']:.3f} ({row['verdict'] or 'too few models to test'})."
            for row in matched[:1]
        )
        yield (
            f"By {column_text}, {len(shifts)} of {len(item.plain)} pairs of groups of {item.kernel} kernels drift "
            f"significantly; the largest drift is between {top['group_a']} and {top['group_b']}, "
            f"D = {top['drift']:.3f} [{top['low']:.3f}, {top['high']:.3f}].{matched_text}"
        )
