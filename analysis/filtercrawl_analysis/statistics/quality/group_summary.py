"""Summaries of layers by group: quartiles of their statistics, and counts of verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filtercrawl_analysis.statistics.groups.labels import POSITION, Labels, group_labels, ordered_labels
from filtercrawl_analysis.statistics.quality.model_quality import column_name

QUARTILES: Final = (("q1", 0.25), ("median", 0.5), ("q3", 0.75))


def summarize_by_columns(
    layers: pa.Table, index: pa.Table, by: Sequence[str], numbers: Sequence[str], verdicts: Sequence[str] = ()
) -> pa.Table:
    """Summarize layers by each of some columns, by position and by depth.

    Args:
        layers: Layers with the columns `numbers` and, for verdicts, `verdict`.
        index: The row of the dataset's index of each of the layers.
        by: Columns whose groups are summarized.
        numbers: Columns to give quartiles of.
        verdicts: Verdicts to count.

    Returns:
        Rows of `summarize_groups`.
    """
    columns = dict.fromkeys((*by, POSITION, "depth_decile"))
    rows = [
        row
        for column in columns
        for row in summarize_groups(layers, column, group_labels(index, column), numbers, verdicts)
    ]
    return pa.Table.from_pylist(rows, schema=summary_schema(numbers, verdicts))


def filter_known_depth(layers: pa.Table) -> pa.Table:
    """Return the layers whose depth in their network is known."""
    return layers.filter(pc.is_valid(layers["depth_decile"]))


def summarize_by_depth(layers: pa.Table, numbers: Sequence[str]) -> list[dict[str, Any]]:
    """Summarize layers by depth decile."""
    return list(summarize_groups(layers, "depth_decile", group_labels(layers, "depth_decile"), numbers))


def summary_schema(numbers: Sequence[str], verdicts: Sequence[str] = ()) -> pa.Schema:
    """Return the schema of `summarize_groups` rows."""
    return pa.schema(
        [
            *(pa.field(name, pa.string()) for name in ("column", "kernel", "group")),
            *(pa.field(name, pa.int64()) for name in ("models", "layers", "kernels", *map(column_name, verdicts))),
            *(pa.field(f"{number}_{name}", pa.float64()) for number in numbers for name, _ in QUARTILES),
        ]
    )


def summarize_groups(
    layers: pa.Table, column: str, groups: Labels, numbers: Sequence[str], verdicts: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """Yield one row per kernel size and group: sample size, counts of verdicts, quartiles over layers of each number.

    Args:
        layers: Layers, see `summarize_by_columns`.
        column: Name of the column, for the rows.
        groups: Group of each layer.
        numbers: Columns to give quartiles of; null for a group in which all are null.
        verdicts: Values of the column `verdict` to count.
    """
    kernels = layers["kernel"].to_pylist()
    sizes = np.array(layers["n_kernels"].to_pylist(), np.int64)
    models = layers["model_id"].to_pylist()
    values = {number: layers[number].cast(pa.float64()).to_numpy() for number in numbers}
    verdict_of_layer = layers["verdict"].to_pylist() if verdicts else []
    members_by_key: dict[tuple[str, str], list[int]] = {}
    for i, key in enumerate(zip(kernels, groups, strict=True)):
        if key[1] is not None:
            members_by_key.setdefault((key[0], key[1]), []).append(i)
    order = ordered_labels(groups, sizes)
    for kernel in ordered_labels(kernels, sizes):
        for group in order:
            members = members_by_key.get((kernel, group))
            if members:
                yield {
                    "column": column,
                    "kernel": kernel,
                    "group": group,
                    "models": len({models[i] for i in members}),
                    "layers": len(members),
                    "kernels": int(sizes[members].sum()),
                    **{column_name(name): sum(verdict_of_layer[i] == name for i in members) for name in verdicts},
                    **{k: v for number in numbers for k, v in _quartiles(number, values[number][members]).items()},
                }


def _quartiles(number: str, values: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float | None]:
    known = values[np.isfinite(values)]
    return {f"{number}_{name}": float(np.quantile(known, share)) if len(known) else None for name, share in QUARTILES}
