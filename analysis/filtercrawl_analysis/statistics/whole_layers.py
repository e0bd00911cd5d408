"""Weights of whole layers, one at a time, from the parts in which kernels are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from filtercrawl.api.analysis import DatasetView


@dataclass(frozen=True, kw_only=True)
class WholeLayer:
    """A layer with its weight.

    Attributes:
        position: Its row in the index that was asked for.
        row: That row.
        weight: float32 [out, in / groups, *kernel_size].
    """

    position: int
    row: dict[str, Any]
    weight: NDArray[np.float32]


def whole_layers(dataset: DatasetView, index: pa.Table) -> Iterator[WholeLayer]:
    """Yield the layers of `index`, model by model and of each in the order in which they are stored.

    Memory is bounded by one layer.

    Args:
        dataset: Where they are.
        index: Rows of its index, those of a model together.

    Raises:
        DatasetError: A layers file is missing or cannot be read.
    """
    start = 0
    for _, rows in groupby(index["model_id"].to_pylist()):
        stop = start + sum(1 for _ in rows)
        yield from _of_model(dataset, index, range(start, stop))
        start = stop


def _of_model(dataset: DatasetView, index: pa.Table, positions: range) -> Iterator[WholeLayer]:
    digests = index["layer_sha256"].slice(positions.start, len(positions)).to_pylist()
    position_of = dict(zip(digests, positions, strict=True))
    parts: list[NDArray[np.float32]] = []
    current: str | None = None
    for digest, kernels in dataset.kernels(digests):
        if current is not None and digest != current:
            yield _joined(index, position_of[current], parts)
            parts = []
        current = digest
        parts.append(kernels)
    if current is not None:
        yield _joined(index, position_of[current], parts)


def _joined(index: pa.Table, position: int, parts: list[NDArray[np.float32]]) -> WholeLayer:
    row = index.slice(position, 1).to_pylist()[0]
    weight = np.concatenate(parts) if len(parts) > 1 else parts[0]
    return WholeLayer(position=position, row=row, weight=weight.reshape(row["out_channels"], -1, *row["kernel_size"]))
