"""The analysis `drift`: drift between groups of layers, with a test, an interval and a verdict for each pair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

import pyarrow as pa

from filtercrawl.api.analysis import DatasetView, Figure, Result, ResultTable, SampleSize
from filtercrawl.api.formatting import format_plural, verb
from filtercrawl_analysis.analyses.drift_findings import drift_findings
from filtercrawl_analysis.analyses.drift_tables import (
    ABOUT_DRIFT,
    ABOUT_MATCHED,
    BASIS,
    DRIFT,
    GROUPS,
    MATCHED,
    DriftTables,
    basis_rows,
    describe_mode,
)
from filtercrawl_analysis.analyses.registry import empty_result
from filtercrawl_analysis.plots.drift import intervals
from filtercrawl_analysis.plots.heat_map import (
    MAX_GROUPS,
    DriftMatrix,
    cluster_order,
    drift_matrix,
    heat_map,
    heat_map_height,
)
from filtercrawl_analysis.statistics.components.coefficients import (
    CoefficientSpace,
    coefficient_histograms,
    kernel_sizes,
    select_kernel_size,
)
from filtercrawl_analysis.statistics.drift.pairwise import (
    Comparison,
    ComparisonOptions,
    compare_groups,
    group_rows,
    judged_rows,
)
from filtercrawl_analysis.statistics.groups.kernel_words import kernel_phrase
from filtercrawl_analysis.statistics.groups.labels import POSITION, is_ordered, layer_groups, resolve_column

# Columns that describe the architecture of a network, the finer first: drift is matched by each.
STRATA: Final = ("architecture", "family")
# Kernel sizes in heat maps, those with the most kernels; tables have all.
MAX_SIZES: Final = 3
# Pairs in the figure of intervals, those with the largest drift.
MAX_PAIRS: Final = 20


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
    compare = ComparisonOptions(
        strata=STRATA,
        resamples=options.resamples,
        seed=options.seed,
        n_sizes=len(sizes),
        map_items=dataset.map,
    )
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
            compared[name].append(compare_groups(name, kernel, units, histograms, compare))
            dataset.progress(i, len(sizes), f"drift, {kernel}")
    dataset.progress(len(sizes), len(sizes), "drift")
    if not any(item.plain for items in compared.values() for item in items):
        return empty_result("no column has two groups to compare")
    tables = [
        DriftTables(
            column=column,
            plain=judged_rows([pair for item in items for pair in item.plain]),
            matched=judged_rows([pair for item in items for pair in item.matched]),
        )
        for column, items in compared.items()
    ]
    mode = spaces[0][1].mode
    return Result(
        tables=tuple(_tables(tables, compared, spaces)),
        figures=tuple(figure for table in tables for figure in _figures(table, compared[table.column], mode)),
        findings=tuple(drift_findings(tables)),
    )


def _tables(
    tables: Sequence[DriftTables], compared: dict[str, list[Comparison]], spaces: list[tuple[str, CoefficientSpace]]
) -> Iterator[ResultTable]:
    mode = describe_mode(spaces[0][1].mode)
    for table in tables:
        if table.plain:
            rows = pa.Table.from_pylist(table.plain, schema=DRIFT)
            yield ResultTable(
                name=table.name,
                title=f"Drift by {table.column_text}",
                rows=rows,
                about=f"{mode} {ABOUT_DRIFT}",
            )
        if table.matched:
            rows = pa.Table.from_pylist(table.matched, schema=MATCHED)
            title = f"Drift by {table.column_text}, architectures matched"
            about = f"{ABOUT_MATCHED} {mode}"
            yield ResultTable(name=table.matched_name, title=title, rows=rows, about=about)
    groups = [row for items in compared.values() for row in group_rows(items)]
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
        rows=pa.Table.from_pylist(list(basis_rows(spaces)), schema=BASIS),
        about=f"{mode} Drifts of two runs can be compared only if basis and range are the same. If only the weights "
        "differ, as they do when kernels are added, by_component of the tables gives D for the weights of either.",
    )


def _figures(table: DriftTables, items: Sequence[Comparison], mode: str) -> Iterator[Figure]:
    column_text, shown = table.column_text, _shown(items)
    for item in shown:
        of_size = [row for row in table.plain if row["kernel"] == item.kernel]
        compared_groups = [row for row in item.groups if row["compared"]]
        size = SampleSize(
            kernels=sum(row["kernels"] for row in compared_groups),
            layers=sum(row["layers"] for row in compared_groups),
            models=item.models,
        )
        yield _heat_map_figure(table, item, size, mode)
        pairs = [row for row in of_size if row["estimate"] is not None]
        top = sorted(pairs, key=lambda row: -row["estimate"])[:MAX_PAIRS]
        if top and item is shown[0]:
            yield Figure(
                name=f"{table.name}_intervals",
                title=f"Drift by {column_text} with intervals, {kernel_phrase(item.kernel)}",
                caption=f"{describe_pairs(len(top), len(item.plain))}: the estimated drift with its 95 % interval, "
                "filled where the verdict is that they differ; D as a ring, and as a bar its floor, the D that equal "
                f"distributions would give. {describe_mode(mode)}",
                basis=size,
                table=table.name,
                draw=partial(intervals, pairs=top),
                height=1.5 + 0.26 * len(top),
            )


def _shown(items: Sequence[Comparison]) -> list[Comparison]:
    """Return the kernel sizes to draw; groups of one model would show how its layers differ, not the groups."""
    return [item for item in items if item.plain and item.models > 1][:MAX_SIZES]


def _heat_map_figure(table: DriftTables, item: Comparison, size: SampleSize, mode: str) -> Figure:
    models = {row["group"]: row["models"] for row in item.groups}
    kernels = {row["group"]: row["kernels"] for row in item.groups}
    pairs = [row for row in table.plain if row["kernel"] == item.kernel]
    matrix = drift_matrix(
        item.names,
        [models[name] for name in item.names],
        item.drift,
        {(row["group_a"], row["group_b"]): row["verdict"] for row in pairs},
    )
    largest = sorted(range(len(item.names)), key=lambda i: -kernels[item.names[i]])[:MAX_GROUPS]
    matrix = matrix.take(sorted(largest))
    ordered = is_ordered(matrix.names)
    if not ordered:
        matrix = matrix.take(cluster_order(matrix.drift))
    order = "" if ordered else " Rows and columns are in an order that puts similar groups side by side."
    few = (
        f" The {MAX_GROUPS} groups with the most kernels, of {len(item.names)}."
        if len(largest) < len(item.names)
        else ""
    )
    return Figure(
        name=f"{table.name}_{item.kernel}",
        title=f"Drift by {table.column_text}, {kernel_phrase(item.kernel)}",
        caption=f"Drift D between groups of {kernel_phrase(item.kernel)}; models in brackets. {describe_marks(matrix)}"
        f"{order}{few} {describe_mode(mode)} Small groups differ by their size alone: the table has the "
        "floor, the interval and the verdict of every pair.",
        basis=size,
        table=table.name,
        draw=partial(heat_map, matrix=matrix, column=table.column_text),
        height=heat_map_height(len(matrix.names)),
    )


def describe_pairs(shown: int, total: int) -> str:
    """Return which of the pairs of groups a figure shows."""
    if shown < total:
        largest = f"{format_plural(shown, 'pair')} with the largest {verb(shown, 'estimate', 'estimates')}"
        return f"The {largest}, of {total:,}"
    return f"All {total} pairs" if total > 1 else "The pair of groups"


def describe_marks(matrix: DriftMatrix) -> str:
    """Return what the marks of a heat map mean, for those that it has."""
    n_groups, n_differing, n_untold = len(matrix.names), int(matrix.differs.sum()) // 2, int(matrix.untold.sum()) // 2
    n_pairs = n_groups * (n_groups - 1) // 2
    if n_pairs == 1:
        if n_untold:
            return "The pair is hatched: it has too few models to tell."
        return "A dot marks that the pair differs (q <= 0.05)." if n_differing else "The pair is not found to differ."
    pairs = format_plural(n_pairs, "pair")
    differing = (
        f"A dot marks a pair that differs (q <= 0.05), {n_differing:,} of {pairs}."
        if n_differing
        else f"Of {pairs}, none is found to differ (q <= 0.05)."
    )
    untold = f" A hatched pair has too few models to tell, {n_untold:,} of {pairs}." if n_untold else ""
    return f"{differing}{untold}"
