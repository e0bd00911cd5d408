"""The analysis `eigenkernels`: principal components of scaled kernels, and distributions of coefficients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa

from filtercrawl.api.analysis import DatasetView, Figure, Result, ResultTable
from filtercrawl_analysis.analyses.registry import empty_result
from filtercrawl_analysis.numerics.moments import Moments
from filtercrawl_analysis.plots.principal_components import eigenkernels, phenotypes, ridges
from filtercrawl_analysis.statistics.coefficients import kernel_sizes, scaled_moments, select_kernel_size
from filtercrawl_analysis.statistics.groups import (
    POSITION,
    group_labels,
    layer_groups,
    ordered_labels,
    resolve_column,
    sample_size,
    truncation_note,
)
from filtercrawl_analysis.statistics.pca import PrincipalComponents, explained_variance_along, principal_components
from filtercrawl_analysis.statistics.sampled_coefficients import (
    RANGE,
    SampledCoefficients,
    coefficient_plane,
    kernel_density,
    sample_coefficients,
)

# Kernel sizes in figures, those with the most kernels.
MAX_SIZES: Final = 3
# Groups in a ridge plot, those with the most kernels.
MAX_RIDGES: Final = 12
COMPONENTS: Final = pa.schema(
    [
        pa.field("kernel", pa.string()),
        pa.field("component", pa.int32()),
        pa.field("explained_variance", pa.float64()),
        pa.field("vector", pa.list_(pa.float64())),
        pa.field("mean", pa.list_(pa.float64())),
        *(pa.field(name, pa.int64()) for name in ("models", "layers", "kernels")),
    ]
)
GROUPS: Final = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("column", "kernel", "group")),
        pa.field("component", pa.int32()),
        pa.field("explained_variance", pa.float64()),
        pa.field("along_all", pa.float64()),
        *(pa.field(name, pa.int64()) for name in ("models", "layers", "kernels")),
    ]
)
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
_SAMPLED: Final = "From at most 64 kernels per layer, weighted by the number of kernels that they represent. "


def analyze(dataset: DatasetView) -> Result:
    """Compute the principal components of each kernel size, for all kernels and for each group."""
    index = dataset.index
    sizes = kernel_sizes(index)
    columns = [c for c in dict.fromkeys((*dataset.options.by, POSITION)) if c == POSITION or resolve_column(index, c)]
    by_size: list[tuple[pa.Table, PrincipalComponents]] = []
    group_rows: list[dict[str, Any]] = []
    for i, kernel in enumerate(sizes):
        dataset.progress(i, len(sizes), f"principal components, {kernel}")
        layers = select_kernel_size(index, kernel)
        units = layer_groups(layers, columns)
        moments = scaled_moments(dataset, layers, units)
        components = principal_components(moments.total())
        if components is not None:
            by_size.append((layers, components))
            for column in columns:
                group_rows += _group_rows(
                    column, layers, units.labels[column], units.unit_of_layer, moments, components
                )
    if not by_size:
        return empty_result("no kernels of 2 to 49 taps that differ")
    samples = sample_coefficients(dataset, *by_size[0])
    ridge_rows = [row for column in columns for row in _ridge_rows(column, by_size[0][0], samples)]
    tables = [
        ResultTable(
            name="eigenkernels",
            title="Principal components of all kernels",
            rows=pa.Table.from_pylist([row for pair in by_size for row in _component_rows(*pair)], schema=COMPONENTS),
            about=_SCALED,
        ),
        ResultTable(
            name="explained_variance",
            title="Explained variance by group",
            rows=pa.Table.from_pylist(group_rows, schema=GROUPS),
            about=_SCALED + "explained_variance: along the group's own components; along_all: along those of all "
            "kernels.",
        ),
        ResultTable(
            name="phenotypes",
            title="Kernels by their first two coefficients",
            rows=pa.Table.from_pylist(_phenotype_rows(by_size[0][0], samples), schema=PHENOTYPE),
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
        *_ridge_figures(columns, by_size[0], ridge_rows),
        *_phenotype_figure(by_size[0], samples),
    )
    return Result(tables=tuple(tables), figures=figures, findings=(_finding(*by_size[0]),))


def _component_rows(layers: pa.Table, components: PrincipalComponents) -> Iterator[dict[str, Any]]:
    size = vars(sample_size(layers))
    for component, (vector, share) in enumerate(zip(components.vectors, components.explained_variance, strict=True)):
        yield {
            "kernel": layers["kernel"][0].as_py(),
            "component": component,
            "explained_variance": float(share),
            "vector": vector.tolist(),
            "mean": components.mean.tolist(),
            **size,
        }


def _group_rows(
    column: str,
    layers: pa.Table,
    label_of_unit: Sequence[str | None],
    of_layer: np.ndarray[Any, np.dtype[np.int64]],
    moments: Moments,
    components: PrincipalComponents,
) -> Iterator[dict[str, Any]]:
    groups = [label_of_unit[unit] for unit in of_layer.tolist()]
    sizes = np.array(layers["n_kernels"].to_pylist(), np.int64)
    for group in ordered_labels(groups, sizes):
        members = np.array([unit for unit, label in enumerate(label_of_unit) if label == group])
        total = Moments(n=moments.n[members], mean=moments.mean[members], scatter=moments.scatter[members]).total()
        own, along = principal_components(total), explained_variance_along(total, components.vectors)
        if own is None or along is None:
            continue
        size = vars(sample_size(layers.filter(pa.array([label == group for label in groups]))))
        for component, (share, share_along_all) in enumerate(zip(own.explained_variance, along, strict=True)):
            yield {
                "column": column,
                "kernel": layers["kernel"][0].as_py(),
                "group": group,
                "component": component,
                "explained_variance": float(share),
                "along_all": float(share_along_all),
                **size,
            }


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


def _eigen_figures(by_size: Sequence[tuple[pa.Table, PrincipalComponents]]) -> Iterator[Figure]:
    for layers, components in by_size[:MAX_SIZES]:
        kernel = layers["kernel"][0].as_py()
        yield Figure(
            name=f"eigenkernels_{kernel}",
            title=f"Principal components of {kernel} kernels",
            caption="Components and the share of the variance along each; negative values are blue, positive orange. "
            + _SCALED,
            basis=sample_size(layers),
            table="eigenkernels",
            draw=partial(
                eigenkernels,
                rows=components.vectors,
                shares=components.explained_variance,
                size=tuple(layers["kernel_size"][0].as_py()),
            ),
            height=0.6 + 1.0 * -(-min(len(components.vectors), 27) // 9),
        )


def _ridge_figures(
    columns: Sequence[str], leading: tuple[pa.Table, PrincipalComponents], rows: Sequence[dict[str, Any]]
) -> Iterator[Figure]:
    layers, _ = leading
    kernel = layers["kernel"][0].as_py()
    for column in columns:
        here = [row for row in rows if row["column"] == column]
        groups = list(dict.fromkeys(row["group"] for row in here))
        if len(groups) > 1:
            every = group_labels(layers, column)
            known = pa.array([label in groups for label in every])
            yield Figure(
                name=f"ridges_{column}",
                title=f"Coefficients of {kernel} kernels by {column.replace('_', ' ')}",
                caption=f"Density of the coefficients of each principal component. {_SAMPLED.strip()}"
                + truncation_note(groups, every),
                basis=sample_size(layers.filter(known)),
                table="ridges",
                draw=partial(ridges, rows=here, groups=groups),
                width=10.0,
                height=1.2 + 0.42 * len(groups),
            )


def _phenotype_figure(leading: tuple[pa.Table, PrincipalComponents], samples: SampledCoefficients) -> Iterator[Figure]:
    layers, _ = leading
    if len(samples.layer):
        counts, _ = coefficient_plane(samples)
        yield Figure(
            name="phenotypes",
            title=f"{layers['kernel'][0].as_py()} kernels by their first two coefficients",
            caption="Number of kernels by their coefficients of the first two principal components, from 1e-5 of the "
            "largest cell on. " + _SAMPLED,
            basis=sample_size(layers),
            table="phenotypes",
            draw=partial(phenotypes, counts=counts, bound=RANGE),
            width=5.5,
            height=4.8,
        )


def _finding(layers: pa.Table, components: PrincipalComponents) -> str:
    shares = ", ".join(f"{share:.1%}" for share in components.explained_variance[:3])
    return f"The first components of {layers['kernel'][0].as_py()} kernels explain {shares} of their variance."
