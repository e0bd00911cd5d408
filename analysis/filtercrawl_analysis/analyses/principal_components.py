"""The analysis `eigenkernels`: principal components of scaled kernels, and distributions of coefficients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from filtercrawl.api.analysis import DatasetView, Result, ResultTable
from filtercrawl_analysis.analyses.component_figures import (
    coefficient_figures,
    component_figures,
    group_component_figures,
)
from filtercrawl_analysis.analyses.component_findings import component_finding, group_findings
from filtercrawl_analysis.analyses.registry import empty_result
from filtercrawl_analysis.statistics.components.coefficient_planes import (
    CoefficientPlane,
    group_planes,
    overall_plane,
    shown_groups,
)
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
    kernel_density,
    sample_coefficients,
    weighted_median,
)
from filtercrawl_analysis.statistics.groups.labels import (
    POSITION,
    group_labels,
    layer_groups,
    resolve_column,
)

RIDGE: Final = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("column", "kernel", "group")),
        pa.field("component", pa.int32()),
        pa.field("coefficient", pa.float64()),
        pa.field("density", pa.float64()),
        pa.field("median", pa.float64()),
        pa.field("sampled", pa.int64()),
    ]
)
PHENOTYPE: Final = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("kernel", "column", "group")),
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
    "0.05, not told apart where it is larger, too little to tell below 3 models on either side. vector: with the sign "
    "that it has in all kernels; nearest, cosine: the component of all kernels that it is most like."
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
    planes = [overall_plane(samples), *(plane for c in columns for plane in group_planes(c, leading.layers, samples))]
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
            rows=pa.Table.from_pylist(_phenotype_rows(leading.kernel, planes), schema=PHENOTYPE),
            about=_SCALED
            + _SAMPLED
            + "One row per non-empty cell of 128 by 128 over [-3.3, 3.3], for a group of 64 by 64.",
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
        *component_figures(by_size),
        *group_component_figures(leading, columns, rows_by_group),
        *coefficient_figures(leading.layers, planes, ridge_rows),
    )
    findings = (component_finding(leading), *group_findings(rows_by_group, leading.kernel))
    return Result(tables=tuple(tables), figures=figures, findings=findings)


def _ridge_rows(column: str, layers: pa.Table, samples: SampledCoefficients) -> Iterator[dict[str, Any]]:
    groups = group_labels(layers, column)
    order = shown_groups(layers, column)
    if len(order) < 2:
        return
    for group in order:
        members = samples.of_layers([label == group for label in groups])
        for component in range(samples.coefficients.shape[1]):
            estimate = kernel_density(samples.coefficients[members, component], samples.weight[members])
            if estimate is not None:
                median = weighted_median(samples.coefficients[members, component], samples.weight[members])
                for x, y in zip(*estimate, strict=True):
                    yield {
                        "column": column,
                        "kernel": layers["kernel"][0].as_py(),
                        "group": group,
                        "component": component,
                        "coefficient": float(x),
                        "density": float(y),
                        "median": median,
                        "sampled": len(members),
                    }


def _phenotype_rows(kernel: str, planes: Sequence[CoefficientPlane]) -> list[dict[str, Any]]:
    rows = []
    for plane in planes:
        edges = np.linspace(-RANGE, RANGE, len(plane.counts) + 1)
        middle = (edges[1:] + edges[:-1]) / 2
        rows += [
            {
                "kernel": kernel,
                "column": plane.column,
                "group": plane.group,
                "c0": float(middle[i]),
                "c1": float(middle[j]),
                "weight": float(plane.counts[i, j]),
            }
            for i, j in np.argwhere(plane.counts > 0)
        ]
    return rows
