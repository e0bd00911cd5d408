"""The analysis `eigenkernels`: principal components of scaled kernels, and distributions of coefficients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa

from filtercrawl.api.analysis import DatasetView, Figure, Result, ResultTable
from filtercrawl_analysis.analyses.component_findings import component_finding, group_findings, order_sentence
from filtercrawl_analysis.analyses.registry import empty_result
from filtercrawl_analysis.plots.principal_components import eigenkernels, phenotypes, ridges
from filtercrawl_analysis.statistics.components.coefficients import kernel_sizes, scaled_moments, select_kernel_size
from filtercrawl_analysis.statistics.components.explained_variance import (
    COMPONENTS,
    GROUPS,
    SizeComponents,
    adjust_rows,
    component_rows,
    components_of_size,
    group_rows,
)
from filtercrawl_analysis.statistics.components.sampled_coefficients import (
    RANGE,
    SampledCoefficients,
    coefficient_plane,
    kernel_density,
    sample_coefficients,
)
from filtercrawl_analysis.statistics.groups.kernel_words import kernel_phrase
from filtercrawl_analysis.statistics.groups.labels import (
    POSITION,
    group_labels,
    layer_groups,
    ordered_labels,
    resolve_column,
    sample_size,
    truncation_note,
)

# Kernel sizes in figures, those with the most kernels.
MAX_SIZES: Final = 3
# Groups in a ridge plot, those with the most kernels.
MAX_RIDGES: Final = 12
RIDGE: Final = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("column", "kernel", "group")),
        pa.field("component", pa.int32()),
        pa.field("coefficient", pa.float64()),
        pa.field("density", pa.float64()),
        pa.field("sampled", pa.int64()),
    ]
)
PHENOTYPE: Final = pa.schema(
    [
        pa.field("kernel", pa.string()),
        *(pa.field(name, pa.float64()) for name in ("c0", "c1", "weight")),
    ]
)
_SCALED: Final = (
    "Kernels are cast to float16 and divided by their largest magnitude; components are those of the centered "
    "covariance (arXiv 2203.15331), from sketches, which merge exactly. "
)
_INTERVALS: Final = (
    "low, high: 95 % interval by the jackknife over models on the scale of logits, null below 3 models. distinct: the "
    "interval overlaps with none of the neighboring components; otherwise these models do not determine the order and "
    "directions of the overlapping components. "
)
_GROUPS: Final = (
    "explained_variance, low, high: along the group's own components. along_all: along the components of all kernels; "
    "rest: the same of the other layers of the column; p: that both are equal, by the jackknife over models, which may "
    "have layers in both; q: adjusted over the table (Benjamini-Hochberg). verdict: higher or lower where q <= "
    "0.05, not told apart where it is larger, too little to tell below 3 models on either side."
)
_SAMPLED: Final = "From at most 64 kernels per layer, weighted by the number of kernels that they represent. "


def analyze(dataset: DatasetView) -> Result:
    """Compute the principal components of each kernel size, for all kernels and for each group."""
    index = dataset.index
    sizes = kernel_sizes(index)
    columns = [c for c in dict.fromkeys((*dataset.options.by, POSITION)) if c == POSITION or resolve_column(index, c)]
    by_size: list[SizeComponents] = []
    rows_by_group: list[dict[str, Any]] = []
    for i, kernel in enumerate(sizes):
        dataset.progress(i, len(sizes), f"principal components, {kernel}")
        layers = select_kernel_size(index, kernel)
        units = layer_groups(layers, columns)
        size = components_of_size(layers, units, scaled_moments(dataset, layers, units))
        if size is not None:
            by_size.append(size)
            rows_by_group += [row for column in columns for row in group_rows(size, column)]
    if not by_size:
        return empty_result("no kernels of 2 to 49 taps that differ")
    adjust_rows(rows_by_group)
    leading = by_size[0]
    samples = sample_coefficients(dataset, leading.layers, leading.components)
    ridge_rows = [row for column in columns for row in _ridge_rows(column, leading.layers, samples)]
    tables = [
        ResultTable(
            name="eigenkernels",
            title="Principal components of all kernels",
            rows=pa.Table.from_pylist([row for size in by_size for row in component_rows(size)], schema=COMPONENTS),
            about=_SCALED + _INTERVALS,
        ),
        ResultTable(
            name="explained_variance",
            title="Explained variance by group",
            rows=pa.Table.from_pylist(rows_by_group, schema=GROUPS),
            about=_SCALED + _GROUPS,
        ),
        ResultTable(
            name="phenotypes",
            title="Kernels by their first two coefficients",
            rows=pa.Table.from_pylist(_phenotype_rows(leading.layers, samples), schema=PHENOTYPE),
            about=_SCALED + _SAMPLED + "One row per non-empty cell of 128 by 128 over [-3.3, 3.3].",
        ),
    ]
    if ridge_rows:
        tables.append(
            ResultTable(
                name="ridges",
                title="Densities of coefficients by group",
                rows=pa.Table.from_pylist(ridge_rows, schema=RIDGE),
                about=_SCALED + _SAMPLED + "Gaussian kernel density estimates with Silverman's bandwidth.",
            )
        )
    figures = (
        *_eigen_figures(by_size),
        *_ridge_figures(columns, leading.layers, ridge_rows),
        *_phenotype_figure(leading.layers, samples),
    )
    findings = (component_finding(leading), *group_findings(rows_by_group, leading.kernel))
    return Result(tables=tuple(tables), figures=figures, findings=findings)


def _ridge_rows(column: str, layers: pa.Table, samples: SampledCoefficients) -> Iterator[dict[str, Any]]:
    groups = group_labels(layers, column)
    order = ordered_labels(groups, np.array(layers["n_kernels"].to_pylist(), np.int64))[:MAX_RIDGES]
    if len(order) < 2:
        return
    group_of_sample = np.array([label or "" for label in groups])[samples.layer]
    for group in order:
        members = np.flatnonzero(group_of_sample == group)
        for component in range(samples.coefficients.shape[1]):
            estimate = kernel_density(samples.coefficients[members, component], samples.weight[members])
            if estimate is not None:
                for x, y in zip(*estimate, strict=True):
                    yield {
                        "column": column,
                        "kernel": layers["kernel"][0].as_py(),
                        "group": group,
                        "component": component,
                        "coefficient": float(x),
                        "density": float(y),
                        "sampled": len(members),
                    }


def _phenotype_rows(layers: pa.Table, samples: SampledCoefficients) -> list[dict[str, Any]]:
    counts, edges = coefficient_plane(samples)
    middle = (edges[1:] + edges[:-1]) / 2
    kernel = layers["kernel"][0].as_py()
    return [
        {"kernel": kernel, "c0": float(middle[i]), "c1": float(middle[j]), "weight": float(counts[i, j])}
        for i, j in np.argwhere(counts > 0)
    ]


def _eigen_figures(by_size: Sequence[SizeComponents]) -> Iterator[Figure]:
    for size in by_size[:MAX_SIZES]:
        components = size.components
        yield Figure(
            name=f"eigenkernels_{size.kernel}",
            title=f"Principal components of {kernel_phrase(size.kernel)}",
            caption="Components and the share of the variance along each with its 95 % interval over models; negative "
            f"values are blue, positive orange. {order_sentence(size)} {_SCALED}".replace("  ", " "),
            basis=sample_size(size.layers),
            table="eigenkernels",
            draw=partial(
                eigenkernels,
                rows=components.vectors,
                shares=components.explained_variance,
                intervals=None if size.low is None or size.high is None else np.stack([size.low, size.high]),
                size=tuple(size.layers["kernel_size"][0].as_py()),
            ),
            height=0.6 + 1.15 * -(-min(len(components.vectors), 27) // 9),
        )


def _ridge_figures(columns: Sequence[str], layers: pa.Table, rows: Sequence[dict[str, Any]]) -> Iterator[Figure]:
    kernel = layers["kernel"][0].as_py()
    for column in columns:
        here = [row for row in rows if row["column"] == column]
        groups = list(dict.fromkeys(row["group"] for row in here))
        if len(groups) > 1:
            every = group_labels(layers, column)
            known = pa.array([label in groups for label in every])
            yield Figure(
                name=f"ridges_{column}",
                title=f"Coefficients of {kernel_phrase(kernel)} by {column.replace('_', ' ')}",
                caption=f"Density of the coefficients of each principal component. {_SAMPLED.strip()}"
                + truncation_note(groups, every),
                basis=sample_size(layers.filter(known)),
                table="ridges",
                draw=partial(ridges, rows=here, groups=groups),
                width=10.0,
                height=1.2 + 0.42 * len(groups),
            )


def _phenotype_figure(layers: pa.Table, samples: SampledCoefficients) -> Iterator[Figure]:
    if len(samples.layer):
        counts, _ = coefficient_plane(samples)
        yield Figure(
            name="phenotypes",
            title=f"{kernel_phrase(layers['kernel'][0].as_py())} by their first two coefficients",
            caption="Number of kernels by their coefficients of the first two principal components, from 1e-5 of the "
            "largest cell on. " + _SAMPLED,
            basis=sample_size(layers),
            table="phenotypes",
            draw=partial(phenotypes, counts=counts, bound=RANGE),
            width=5.5,
            height=4.8,
        )
