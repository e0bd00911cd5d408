"""The analysis `drift`: how far the kernels of groups of layers lie apart, and how much of it chance makes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

import pyarrow as pa

from filtercrawl.api.analysis import DatasetView, Figure, Result, ResultTable, SampleSize
from filtercrawl_analysis.analyses.empty_result import empty_result
from filtercrawl_analysis.plots.drift import heat_map, intervals
from filtercrawl_analysis.statistics.coefficients import (
    CoefficientSpace,
    coefficient_histograms,
    kernel_sizes,
    select_kernel_size,
)
from filtercrawl_analysis.statistics.groups import POSITION, layer_groups, resolve_column
from filtercrawl_analysis.statistics.pairwise import DRIFT, GROUPS, MATCHED, Comparison, compare_groups, rows_of

# What the architecture of a network is known by, the finer first: drift is matched by each.
STRATA: Final = ("architecture", "family")
# Heat maps are drawn of so many kernel sizes, those with the most kernels; tables have all.
DRAWN: Final = 3
# Pairs in the figure of intervals: those that drift most.
PAIRS: Final = 20
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
    "sketch": "Coefficients are of the fixed DCT-II basis, in 70 bins over its fixed range; each counts by its share "
    "of the variance.",
    "exact": "Coefficients are of the principal components of all kernels, in 70 bins over their own range; each "
    "counts by its share of the variance.",
}
_ABOUT: Final = (
    "Drift D is the sum over components of their share times the symmetric Kullback-Leibler divergence (natural "
    "logarithm) of the coefficients of scaled kernels (arXiv 2203.15331). low, high: 95 % interval by drawing models "
    "with replacement, corrected for the drift that few models add, so that it may lie below D; null where a group has "
    "one model. null_median, null_high (97.5 %), p: when the models of the pair are dealt to two groups of these sizes "
    "at random; q: p over all pairs, Benjamini-Hochberg. verdict: `shift` where low exceeds null_high, `unclear` where "
    "only p <= 0.05, else `no shift`."
)
_ABOUT_MATCHED: Final = (
    "Only architectures (or families) that both groups have, each with the same weight on both sides; strata: their "
    "number; fewest_models, most_models: in one of them on one side. Models are drawn and dealt within each. " + _ABOUT
)


def analyze(dataset: DatasetView) -> Result:
    """Compare the groups of every column of options.by, and first, last and other layers."""
    index, options = dataset.index, dataset.options
    sizes = kernel_sizes(index)
    if not sizes:
        return empty_result("no learned kernels of 2 to 49 taps")
    asked = dict.fromkeys((*options.by, POSITION))
    columns = [name for name in asked if name == POSITION or resolve_column(index, name)]
    compared: dict[str, list[Comparison]] = {name: [] for name in columns}
    coordinates: list[tuple[str, CoefficientSpace]] = []
    for done, kernel in enumerate(sizes):
        dataset.progress(done, len(sizes), f"drift, {kernel}")
        layers = select_kernel_size(index, kernel)
        parted = layer_groups(layers, (*columns, *STRATA))
        if all(len(set(parted.labels[name]) - {None}) < 2 for name in columns):
            continue  # nothing to compare: spare the sketches
        found = coefficient_histograms(dataset, layers, parted)
        if found is None:
            continue
        coordinates.append((kernel, found.space))
        for name in columns:
            compared[name].append(compare_groups(name, kernel, parted, found, STRATA, options.resamples, options.seed))
    dataset.progress(len(sizes), len(sizes), "drift")
    if not any(item.plain for items in compared.values() for item in items):
        return empty_result("no column has two groups to compare")
    return Result(
        tables=tuple(_tables(compared, coordinates)),
        figures=tuple(_figures(compared, coordinates[0][1].mode)),
        findings=tuple(_findings(compared)),
    )


def _tables(compared: dict[str, list[Comparison]], found: list[tuple[str, CoefficientSpace]]) -> Iterator[ResultTable]:
    mode = _MODES[found[0][1].mode]
    for column, items in compared.items():
        words = column.replace("_", " ")
        if rows := list(rows_of(items, "plain")):
            table = pa.Table.from_pylist(rows, schema=DRIFT)
            yield ResultTable(name=f"drift_{column}", title=f"Drift by {words}", rows=table, about=f"{mode} {_ABOUT}")
        if rows := list(rows_of(items, "matched")):
            table = pa.Table.from_pylist(rows, schema=MATCHED)
            about = f"{_ABOUT_MATCHED} {mode}"
            title = f"Drift by {words}, architectures matched"
            yield ResultTable(name=f"drift_matched_{column}", title=title, rows=table, about=about)
    groups = [row for items in compared.values() for row in rows_of(items, "groups")]
    yield ResultTable(
        name="drift_groups",
        title="Groups that are compared",
        rows=pa.Table.from_pylist(groups, schema=GROUPS),
        about="Groups of fewer than 100 kernels are left out (compared is false). A tensor that several models share "
        "counts for the first of them.",
    )
    yield ResultTable(
        name="drift_basis",
        title="In what the coefficients were counted",
        rows=pa.Table.from_pylist(list(_basis(found)), schema=BASIS),
        about=f"{mode} Drifts of two runs can be compared only where basis and range are the same; where the weights "
        "differ, as they do when kernels come in, by_component of the tables gives D for the weights of either.",
    )


def _basis(found: Sequence[tuple[str, CoefficientSpace]]) -> Iterator[dict[str, object]]:
    for kernel, used in found:
        for component, (row, weight) in enumerate(zip(used.basis, used.weights, strict=True)):
            yield {
                "kernel": kernel,
                "mode": used.mode,
                "component": component,
                "weight": float(weight),
                "low": used.low,
                "high": used.high,
                "vector": row.tolist(),
                "mean": used.mean.tolist(),
            }


def _figures(compared: dict[str, list[Comparison]], mode: str) -> Iterator[Figure]:
    for column, items in compared.items():
        words = column.replace("_", " ")
        for item in [item for item in items if item.plain][:DRAWN]:
            models = {row["group"]: row["models"] for row in item.groups}
            kept = [row for row in item.groups if row["compared"]]
            side = min(9.0, 3.2 + 0.32 * len(item.names))
            rests = SampleSize(
                kernels=sum(row["kernels"] for row in kept),
                layers=sum(row["layers"] for row in kept),
                models=item.models,
            )
            yield Figure(
                name=f"drift_{column}_{item.kernel}",
                title=f"Drift by {words}, {item.kernel}",
                caption=f"Drift D between groups of {item.kernel} kernels; in brackets, models. {_MODES[mode]} How "
                "much of it is chance is in the table.",
                basis=rests,
                table=f"drift_{column}",
                draw=partial(
                    heat_map, drift=item.drift, names=item.names, models=[models[n] for n in item.names], column=column
                ),
                width=side + 1,
                height=side,
            )
            drawn = [row for row in item.plain if row["null_high"] is not None]
            top = sorted(drawn, key=lambda row: -row["drift"])[:PAIRS]
            if top and item is next(item for item in items if item.plain):
                yield Figure(
                    name=f"drift_{column}_chance",
                    title=f"Drift by {words} and chance, {item.kernel}",
                    caption=f"The pairs that drift most: D, its 95 % interval where both groups have more than one "
                    "model, and as a bar the drift that models dealt at random stay below in 97.5 % of deals. "
                    f"{_MODES[mode]}",
                    basis=rests,
                    table=f"drift_{column}",
                    draw=partial(intervals, pairs=top),
                    height=1.2 + 0.26 * len(top),
                )


def _findings(compared: dict[str, list[Comparison]]) -> Iterator[str]:
    for column, items in compared.items():
        item = next((item for item in items if item.plain), None)
        if item is None:
            continue
        words = column.replace("_", " ")
        shifts = [row for row in item.plain if row["verdict"] == "shift"]
        if not shifts:
            judged = sum(row["verdict"] is not None for row in item.plain)
            pairs = f"pair of groups of {item.kernel} kernels"
            if judged:
                told = f"({judged} of {len(item.plain)} pairs have models enough to tell)"
                yield f"By {words}, no {pairs} drifts beyond chance {told}."
            else:
                yield f"By {words}, no {pairs} has models enough to tell drift from chance."
            continue
        top = max(shifts, key=lambda row: row["drift"])
        matched = [r for r in item.matched if (r["group_a"], r["group_b"]) == (top["group_a"], top["group_b"])]
        with_same = "".join(
            f" With {row['matched_by']} matched, D = {row['drift']:.3f} ({row['verdict'] or 'too few models to tell'})."
            for row in matched[:1]
        )
        yield (
            f"By {words}, {len(shifts)} of {len(item.plain)} pairs of groups of {item.kernel} kernels drift beyond "
            "chance; "
            f"most: {top['group_a']} and {top['group_b']}, D = {top['drift']:.3f} "
            f"[{top['low']:.3f}, {top['high']:.3f}].{with_same}"
        )
