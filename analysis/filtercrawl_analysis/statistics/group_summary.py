"""Layers summed up by group: quartiles of their numbers, and how many have which verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filtercrawl_analysis.statistics.groups import POSITION, Labels, group_labels, ordered_labels

QUARTILES: Final = (("q1", 0.25), ("median", 0.5), ("q3", 0.75))


def summarize_by_columns(
    layers: pa.Table, index: pa.Table, by: Sequence[str], numbers: Sequence[str], verdicts: Sequence[str] = ()
) -> pa.Table:
    """Sum layers up by each of some columns, and by where they stand in their networks: rows of `summarize_groups`.

    index: the rows of the dataset' index, one for each of the layers, which say what the columns have.
    """
    columns = dict.fromkeys((*by, POSITION, "depth_decile"))
    rows = [
        row
        for column in columns
        for row in summarize_groups(layers, column, group_labels(index, column), numbers, verdicts)
    ]
    return pa.Table.from_pylist(rows, schema=summary_schema(numbers, verdicts))


def filter_known_depth(layers: pa.Table) -> pa.Table:
    """Return the layers of which it is known how deep in their networks they lie."""
    return layers.filter(pc.is_valid(layers["depth_decile"]))


def summarize_by_depth(layers: pa.Table, numbers: Sequence[str]) -> list[dict[str, Any]]:
    """Sum layers up by tenths of the depth of their networks; of none else."""
    return list(summarize_groups(layers, "depth_decile", group_labels(layers, "depth_decile"), numbers))


def summary_schema(numbers: Sequence[str], verdicts: Sequence[str] = ()) -> pa.Schema:
    """Return the schema of `summarize_groups` rows."""
    return pa.schema(
        [
            *(pa.field(name, pa.string()) for name in ("column", "kernel", "group")),
            *(pa.field(name, pa.int64()) for name in ("models", "layers", "kernels", *verdicts)),
            *(pa.field(f"{number}_{name}", pa.float64()) for number in numbers for name, _ in QUARTILES),
        ]
    )


def summarize_groups(
    layers: pa.Table, column: str, groups: Labels, numbers: Sequence[str], verdicts: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """Yield a row a kernel size and group: what it rests on, verdicts counted, quartiles over layers of each number.

    groups: of each layer; verdicts: values of the column `verdict`. A number that no layer of a group has is null.
    """
    kernels = layers["kernel"].to_pylist()
    sizes = np.array(layers["n_kernels"].to_pylist(), np.int64)
    models = layers["model_id"].to_pylist()
    values = {number: layers[number].cast(pa.float64()).to_numpy() for number in numbers}
    said = layers["verdict"].to_pylist() if verdicts else []
    places: dict[tuple[str, str], list[int]] = {}
    for place, key in enumerate(zip(kernels, groups, strict=True)):
        if key[1] is not None:
            places.setdefault((key[0], key[1]), []).append(place)
    order = ordered_labels(groups, sizes)
    for kernel in ordered_labels(kernels, sizes):
        for group in order:
            members = places.get((kernel, group))
            if members:
                yield {
                    "column": column,
                    "kernel": kernel,
                    "group": group,
                    "models": len({models[i] for i in members}),
                    "layers": len(members),
                    "kernels": int(sizes[members].sum()),
                    **{word: sum(said[i] == word for i in members) for word in verdicts},
                    **{k: v for number in numbers for k, v in _quartiles(number, values[number][members]).items()},
                }


def _quartiles(number: str, values: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float | None]:
    known = values[np.isfinite(values)]
    return {f"{number}_{name}": float(np.quantile(known, share)) if len(known) else None for name, share in QUARTILES}
