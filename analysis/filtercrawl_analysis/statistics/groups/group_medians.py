"""Medians of layer statistics by group, with intervals and tests over models: against random weights, and the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.groups.labels import POSITION, Labels, group_labels, ordered_labels
from filtercrawl_analysis.statistics.groups.model_medians import (
    adjust,
    compare_medians,
    median_by_model,
    median_interval,
    sign_test,
    verdict,
)

Row = dict[str, Any]

# The group and the column of all layers of a kernel size.
ALL: Final = "all"
GROUP_MEDIANS: Final = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("column", "kernel", "group", "measure")),
        *(pa.field(name, pa.float64()) for name in ("median", "low", "high", "random_weights", "p_random", "q_random")),
        pa.field("against_random", pa.string()),
        *(pa.field(name, pa.float64()) for name in ("rest", "p", "q")),
        pa.field("verdict", pa.string()),
        *(pa.field(name, pa.int64()) for name in ("models", "models_rest", "layers", "kernels")),
    ]
)


def group_medians(
    layers: pa.Table,
    index: pa.Table,
    by: Sequence[str],
    measures: Sequence[str],
    random: Mapping[str, Mapping[str, float | None]],
) -> pa.Table:
    """Return medians over models of each kernel size and measure: of all layers, and of each group.

    Args:
        layers: Layers with the columns `measures`.
        index: The row of the dataset's index of each of the layers.
        by: Columns whose groups are compared, beside position and depth.
        measures: Names of columns.
        random: By kernel size, the value of each measure for random weights.

    Returns:
        Rows of `GROUP_MEDIANS`; none where a measure is unknown for all layers of a group.
    """
    columns: dict[str, Labels] = {ALL: [ALL] * len(layers)}
    columns |= {name: group_labels(index, name) for name in dict.fromkeys((*by, POSITION, "depth_decile"))}
    kernel_of = np.array(layers["kernel"].to_pylist())
    sizes = np.array(layers["n_kernels"].to_pylist(), np.int64)
    models = np.array(layers["model_id"].to_pylist())
    values = {measure: layers[measure].cast(pa.float64()).to_numpy() for measure in measures}
    rows: list[Row] = []
    for column, labels in columns.items():
        groups = ordered_labels(labels, sizes)
        if len(groups) < 2 and column != ALL:
            continue
        label_of = np.array([label or "" for label in labels])
        for kernel in ordered_labels(kernel_of.tolist(), sizes):
            known = np.array([label is not None for label in labels]) & (kernel_of == kernel)
            for group in groups:
                member = known & (label_of == group)
                if member.any():
                    key = {"column": column, "kernel": kernel, "group": group}
                    counts = {"layers": int(member.sum()), "kernels": int(sizes[member].sum())}
                    sides = Sides(member=member, rest=known & ~member, models=models)
                    rows += [key | row | counts for row in _measure_rows(sides, values, random[kernel])]
    return pa.Table.from_pylist(_adjusted(rows), schema=GROUP_MEDIANS)


@dataclass(frozen=True, kw_only=True)
class Sides:
    """The layers of a group, and the other ones of its column and kernel size.

    Attributes:
        member: Mask of the group [layers].
        rest: Mask of the others [layers].
        models: Model of each layer [layers].
    """

    member: NDArray[np.bool_]
    rest: NDArray[np.bool_]
    models: NDArray[np.str_]

    def medians(self, values: Array) -> tuple[dict[str, float], dict[str, float]]:
        """Return the median of each model in the group, and in the rest."""
        inside, outside = (
            median_by_model(values[mask], self.models[mask].tolist()) for mask in (self.member, self.rest)
        )
        return inside, outside


def _measure_rows(sides: Sides, values: Mapping[str, Array], random: Mapping[str, float | None]) -> Iterator[Row]:
    for measure, of_layers in values.items():
        inside, outside = sides.medians(of_layers)
        if not inside:
            continue
        reference = random[measure]
        of_models = list(inside.values())
        low, high = median_interval(of_models) or (None, None)
        yield {
            "measure": measure,
            "median": float(np.median(of_models)),
            "low": low,
            "high": high,
            "random_weights": reference,
            "p_random": None if reference is None else sign_test(of_models, reference),
            "rest": float(np.median(list(outside.values()))) if outside else None,
            "p": compare_medians(inside, outside) if outside else None,
            "models": len(inside),
            "models_rest": len(outside),
        }


def _adjusted(rows: list[Row]) -> list[Row]:
    for p, q in (("p", "q"), ("p_random", "q_random")):
        for row, value in zip(rows, adjust([row[p] for row in rows]), strict=True):
            row[q] = value
    for row in rows:
        row["against_random"] = _against(row["q_random"], row["median"], row["random_weights"])
        row["verdict"] = _against(row["q"], row["median"], row["rest"])
    return rows


def _against(q: float | None, value: float, reference: float | None) -> str | None:
    if reference is None:
        return None
    return verdict(q, value - reference)
