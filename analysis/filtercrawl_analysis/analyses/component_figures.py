"""Figures of the analysis `eigenkernels`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa

from filtercrawl.api.analysis import Figure
from filtercrawl_analysis.analyses.component_findings import order_sentence
from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.plots.coefficients import COLUMNS, MAX_COMPONENTS, group_phenotypes, phenotypes, ridges
from filtercrawl_analysis.plots.eigenkernels import (
    MAX_COMPONENTS as MAX_PICTURES,
)
from filtercrawl_analysis.plots.eigenkernels import (
    PER_ROW,
    ComponentRow,
    eigenkernels,
    group_eigenkernels,
    variance_shares,
)
from filtercrawl_analysis.statistics.components.coefficient_planes import CoefficientPlane, shown_groups
from filtercrawl_analysis.statistics.components.explained_variance import SizeComponents
from filtercrawl_analysis.statistics.components.sampled_coefficients import RANGE
from filtercrawl_analysis.statistics.components.share_intervals import overlapping_runs
from filtercrawl_analysis.statistics.groups.column_names import name_part
from filtercrawl_analysis.statistics.groups.group_medians import ALL
from filtercrawl_analysis.statistics.groups.kernel_words import kernel_phrase
from filtercrawl_analysis.statistics.groups.labels import group_labels, is_ordered, sample_size, truncation_note

Row = dict[str, Any]

# Kernel sizes in figures, those with the most kernels.
MAX_SIZES: Final = 3
_SCALED: Final = "Kernels are divided by their largest magnitude first."
_SAMPLED: Final = "From at most 64 kernels per layer, weighted by the number of kernels that they represent."
_JOINED: Final = (
    "A line below components joins those whose intervals overlap: these models do not determine their order and "
    "directions."
)


def component_figures(by_size: Sequence[SizeComponents]) -> Iterator[Figure]:
    """Yield the figures of the components of all kernels, a size each."""
    for size in by_size[:MAX_SIZES]:
        row = _overall(size)
        yield Figure(
            name=f"eigenkernels_{size.kernel}",
            title=f"Principal components of {kernel_phrase(size.kernel)}",
            caption="Components and the share of the variance along each with its 95 % interval over models; negative "
            f"values are blue, positive orange. {order_sentence(size)} {_SCALED}".replace("  ", " "),
            basis=sample_size(size.layers),
            table="eigenkernels",
            draw=partial(eigenkernels, row=row, size=tuple(size.layers["kernel_size"][0].as_py())),
            height=0.5 + _picture_height(size) * -(-min(len(row.vectors), MAX_PICTURES) // PER_ROW),
        )


def group_component_figures(size: SizeComponents, columns: Sequence[str], rows: Sequence[Row]) -> Iterator[Figure]:
    """Yield the figures of the components of the groups of each column, for one kernel size.

    Args:
        size: The kernel size.
        columns: The columns.
        rows: Rows of the table of explained variance.
    """
    for column in columns:
        here = [row for row in rows if row["column"] == column and row["kernel"] == size.kernel]
        groups = [group for group in shown_groups(size.layers, column) if any(row["group"] == group for row in here)]
        if len(groups) < 2:
            continue
        shown = [row for group in groups for row in here if row["group"] == group]
        labels, column_text = group_labels(size.layers, column), column.replace("_", " ")
        basis = sample_size(size.layers.filter(pa.array([label in groups for label in labels])))
        note = truncation_note(groups, labels)
        components = [_overall(size), *(_of_group([row for row in shown if row["group"] == g]) for g in groups)]
        yield Figure(
            name=f"eigenkernels_{name_part(column)}",
            title=f"Principal components of {kernel_phrase(size.kernel)} by {column_text}",
            caption="Each group's own components, in the order of the shares of the variance, which are below them; "
            f"models in brackets. The sign is that of the most similar component of all kernels. {_JOINED} Groups of "
            f"fewer than 3 models have no intervals, so that nothing is known of theirs.{note}",
            basis=basis,
            table="explained_variance",
            draw=partial(group_eigenkernels, rows=components, size=tuple(size.layers["kernel_size"][0].as_py())),
            height=0.9 + 0.57 * len(components),
        )
        yield Figure(
            name=f"explained_variance_{name_part(column)}",
            title=f"Explained variance of {kernel_phrase(size.kernel)} by {column_text}",
            caption="Share of the variance along each group's own components with its 95 % interval over models; "
            "models in brackets. Filled where the share along the component of all kernels is told apart from that of "
            f"the other layers (q <= 0.05). Line and band: all kernels.{note}",
            basis=basis,
            table="explained_variance",
            draw=partial(variance_shares, overall=components[0], rows=shown, ordered=is_ordered(groups)),
            height=1.5 + 2 * (0.3 + 0.2 * len(groups)),
        )


def coefficient_figures(
    layers: pa.Table, planes: Sequence[CoefficientPlane], ridge_rows: Sequence[Row]
) -> Iterator[Figure]:
    """Yield the figures of the distributions of coefficients of one kernel size.

    Args:
        layers: Its layers.
        planes: Planes of the first two coefficients, of all kernels and of groups.
        ridge_rows: Rows of the table of ridges.
    """
    phrase = kernel_phrase(layers["kernel"][0].as_py())
    for plane in planes:
        if plane.column == ALL and plane.counts.any():
            yield Figure(
                name="phenotypes",
                title=f"{phrase} by their first two coefficients",
                caption="Number of kernels by their coefficients of the first two principal components; the cross is "
                f"at the medians. {_SAMPLED}",
                basis=sample_size(layers),
                table="phenotypes",
                draw=partial(phenotypes, counts=plane.counts, bound=RANGE, middle=plane.median),
                height=5.0,
            )
    for column in dict.fromkeys(row["column"] for row in ridge_rows):
        here = [row for row in ridge_rows if row["column"] == column]
        groups, labels = list(dict.fromkeys(row["group"] for row in here)), group_labels(layers, column)
        basis = sample_size(layers.filter(pa.array([label in groups for label in labels])))
        column_text, note = column.replace("_", " "), truncation_note(groups, labels)
        components = min(len({row["component"] for row in here}), MAX_COMPONENTS)
        yield Figure(
            name=f"ridges_{name_part(column)}",
            title=f"Coefficients of {phrase} by {column_text}",
            caption="Density of the coefficients of each principal component of all kernels, with the median as a "
            f"line. Each ridge has its own height. {_SAMPLED}{note}",
            basis=basis,
            table="ridges",
            draw=partial(ridges, rows=here, groups=groups, ordered=is_ordered(groups)),
            height=0.6 + (0.55 + 0.2 * len(groups)) * -(-components // COLUMNS),
        )
        of_column = {plane.group: plane for plane in planes if plane.column == column and plane.counts.any()}
        if len(of_column) > 1:
            yield Figure(
                name=f"phenotypes_{name_part(column)}",
                title=f"First two coefficients of {phrase} by {column_text}",
                caption="Share of each group's kernels by their coefficients of the first two principal components of "
                f"all kernels, in logarithmic colors; the cross is at the medians. {_SAMPLED}{note}",
                basis=basis,
                table="phenotypes",
                draw=partial(
                    group_phenotypes,
                    planes={name: (plane.counts, plane.median) for name, plane in of_column.items()},
                    bound=RANGE,
                ),
                height=0.5 + 1.75 * -(-len(of_column) // COLUMNS),
            )


def _picture_height(size: SizeComponents) -> float:
    """Return the height in inches of a picture in the figure of all kernels, with the text above it."""
    *height, width = size.layers["kernel_size"][0].as_py()
    across: float = math.prod(height) / width
    return 0.6 + 0.85 * min(across, 2.0)


def _overall(size: SizeComponents) -> ComponentRow:
    intervals = None if size.low is None or size.high is None else (size.low.tolist(), size.high.tolist())
    name = f"all kernels ({sample_size(size.layers).models})"
    return _component_row(name, size.components.vectors, size.components.explained_variance.tolist(), intervals)


def _of_group(rows: Sequence[Row]) -> ComponentRow:
    low, high = ([row[end] for row in rows] for end in ("low", "high"))
    return _component_row(
        f"{rows[0]['group']} ({rows[0]['models']})",
        np.array([row["vector"] for row in rows]),
        [row["explained_variance"] for row in rows],
        None if None in low else (low, high),
    )


def _component_row(
    name: str, vectors: Array, shares: list[float], intervals: tuple[list[float], list[float]] | None
) -> ComponentRow:
    low, high = intervals or (None, None)
    runs = [run for run in overlapping_runs(*intervals) if len(run) > 1] if intervals else []
    return ComponentRow(name=name, vectors=vectors, shares=shares, low=low, high=high, runs=runs)
