"""The analysis `eigenkernels`: principal components of scaled kernels, and how coefficients are distributed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa

from filtercrawl.api.analysis import DatasetView, Figure, Result, ResultTable
from filtercrawl_analysis.analyses.empty_result import empty_result
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

DRAWN: Final = 3
# Ridges of so many groups, those with the most kernels.
RIDGES: Final = 12
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
    "Kernels are cast to float16 and divided by their largest magnitude; components are those of the covariance around "
    "the mean (arXiv 2203.15331), from sketches, which merge exactly. "
)
_SAMPLED: Final = "From at most 64 kernels a layer, weighted by the kernels they stand for. "


def analyze(dataset: DatasetView) -> Result:
    """Find the principal components of each kernel size, of all kernels and of each group."""
    index = dataset.index
    sizes = kernel_sizes(index)
    columns = [c for c in dict.fromkeys((*dataset.options.by, POSITION)) if c == POSITION or resolve_column(index, c)]
    found: list[tuple[pa.Table, PrincipalComponents]] = []
    rows: list[dict[str, Any]] = []
    for done, kernel in enumerate(sizes):
        dataset.progress(done, len(sizes), f"principal components, {kernel}")
        layers = select_kernel_size(index, kernel)
        parted = layer_groups(layers, columns)
        moments = scaled_moments(dataset, layers, parted)
        whole = principal_components(moments.total())
        if whole is not None:
            found.append((layers, whole))
            for column in columns:
                rows += _of_groups(column, layers, parted.labels[column], parted.unit_of_layer, moments, whole)
    if not found:
        return empty_result("no kernels of 2 to 49 taps that differ")
    samples = sample_coefficients(dataset, *found[0])
    ridge = [row for column in columns for row in _ridges(column, found[0][0], samples)]
    tables = [
        ResultTable(
            name="eigenkernels",
            title="Principal components of all kernels",
            rows=pa.Table.from_pylist([row for pair in found for row in _of_all(*pair)], schema=COMPONENTS),
            about=_SCALED,
        ),
        ResultTable(
            name="explained_variance",
            title="Explained variance by group",
            rows=pa.Table.from_pylist(rows, schema=GROUPS),
            about=_SCALED + "explained_variance: of the group's own components; along_all: of its variance along those "
            "of all kernels.",
        ),
        ResultTable(
            name="phenotypes",
            title="Kernels by their first two coefficients",
            rows=pa.Table.from_pylist(_phenotype_rows(found[0][0], samples), schema=PHENOTYPE),
            about=_SCALED + _SAMPLED + "A row a cell of 128 by 128 over [-3.3, 3.3] that is not empty.",
        ),
    ]
    if ridge:
        tables.append(
            ResultTable(
                name="ridges",
                title="Densities of coefficients by group",
                rows=pa.Table.from_pylist(ridge, schema=RIDGE),
                about=_SCALED + _SAMPLED + "Gaussian kernel density estimates with Silverman's bandwidth.",
            )
        )
    figures = (*_eigen_figures(found), *_ridge_figures(columns, found[0], ridge), *_phenotype_figure(found[0], samples))
    return Result(tables=tuple(tables), figures=figures, findings=(_finding(*found[0]),))


def _of_all(layers: pa.Table, whole: PrincipalComponents) -> Iterator[dict[str, Any]]:
    rests = vars(sample_size(layers))
    for component, (vector, share) in enumerate(zip(whole.vectors, whole.explained_variance, strict=True)):
        yield {
            "kernel": layers["kernel"][0].as_py(),
            "component": component,
            "explained_variance": float(share),
            "vector": vector.tolist(),
            "mean": whole.mean.tolist(),
            **rests,
        }


def _of_groups(
    column: str,
    layers: pa.Table,
    of_unit: Sequence[str | None],
    of_layer: np.ndarray[Any, np.dtype[np.int64]],
    moments: Moments,
    whole: PrincipalComponents,
) -> Iterator[dict[str, Any]]:
    groups = [of_unit[unit] for unit in of_layer.tolist()]
    sizes = np.array(layers["n_kernels"].to_pylist(), np.int64)
    for group in ordered_labels(groups, sizes):
        here = np.array([unit for unit, label in enumerate(of_unit) if label == group])
        total = Moments(n=moments.n[here], mean=moments.mean[here], scatter=moments.scatter[here]).total()
        own, along = principal_components(total), explained_variance_along(total, whole.vectors)
        if own is None or along is None:
            continue
        rests = vars(sample_size(layers.filter(pa.array([label == group for label in groups]))))
        for component, (share, other) in enumerate(zip(own.explained_variance, along, strict=True)):
            yield {
                "column": column,
                "kernel": layers["kernel"][0].as_py(),
                "group": group,
                "component": component,
                "explained_variance": float(share),
                "along_all": float(other),
                **rests,
            }


def _ridges(column: str, layers: pa.Table, samples: SampledCoefficients) -> Iterator[dict[str, Any]]:
    groups = group_labels(layers, column)
    order = ordered_labels(groups, np.array(layers["n_kernels"].to_pylist(), np.int64))[:RIDGES]
    if len(order) < 2:
        return
    of_sample = np.array([label or "" for label in groups])[samples.layer]
    for group in order:
        here = np.flatnonzero(of_sample == group)
        for component in range(samples.coefficients.shape[1]):
            found = kernel_density(samples.coefficients[here, component], samples.weight[here])
            if found is not None:
                for x, y in zip(*found, strict=True):
                    yield {
                        "column": column,
                        "kernel": layers["kernel"][0].as_py(),
                        "group": group,
                        "component": component,
                        "coefficient": float(x),
                        "density": float(y),
                        "sampled": len(here),
                    }


def _phenotype_rows(layers: pa.Table, samples: SampledCoefficients) -> list[dict[str, Any]]:
    counts, edges = coefficient_plane(samples)
    middle = (edges[1:] + edges[:-1]) / 2
    kernel = layers["kernel"][0].as_py()
    return [
        {"kernel": kernel, "c0": float(middle[i]), "c1": float(middle[j]), "weight": float(counts[i, j])}
        for i, j in np.argwhere(counts > 0)
    ]


def _eigen_figures(found: Sequence[tuple[pa.Table, PrincipalComponents]]) -> Iterator[Figure]:
    for layers, whole in found[:DRAWN]:
        kernel = layers["kernel"][0].as_py()
        yield Figure(
            name=f"eigenkernels_{kernel}",
            title=f"Principal components of {kernel} kernels",
            caption="Components by the share of the variance along them; blue is below zero, orange above. " + _SCALED,
            basis=sample_size(layers),
            table="eigenkernels",
            draw=partial(
                eigenkernels,
                rows=whole.vectors,
                shares=whole.explained_variance,
                size=tuple(layers["kernel_size"][0].as_py()),
            ),
            height=0.6 + 1.0 * -(-min(len(whole.vectors), 27) // 9),
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
            caption="How many kernels have which coefficients of the first two principal components, from a "
            "hundred-thousandth of the fullest cell on. " + _SAMPLED,
            basis=sample_size(layers),
            table="phenotypes",
            draw=partial(phenotypes, counts=counts, bound=RANGE),
            width=5.5,
            height=4.8,
        )


def _finding(layers: pa.Table, whole: PrincipalComponents) -> str:
    shares = ", ".join(f"{share:.1%}" for share in whole.explained_variance[:3])
    return f"The first components of {layers['kernel'][0].as_py()} kernels explain {shares} of their variance."
