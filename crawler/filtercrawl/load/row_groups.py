"""Read the weights of layers out of one row group, or of those that follow where a layer has several parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from filtercrawl.api.errors import DatasetError
from filtercrawl.load.query import LayerRequest

_COLUMNS: Final = ["layer_id", "out_start", "weight"]


@dataclass(frozen=True, kw_only=True)
class LayerPart:
    """A row of `layers`. start: its first output channel; numbers: float32, flat, not to be written to."""

    layer: LayerRequest
    start: int
    numbers: NDArray[np.float32]


def read_layer_parts(file: pq.ParquetFile, group: int, layers: Sequence[LayerRequest]) -> Iterator[LayerPart]:
    """Yield the parts of layers whose first part lies in row group `group`; memory is bounded by a row group.

    Raises DatasetError where the file does not hold them as the index says.
    """
    waiting: dict[str, list[LayerRequest]] = {}
    for layer in layers:
        waiting.setdefault(layer.layer_id, []).append(layer)
    left = {layer.layer_id: [layer.n_parts, layer.numbers] for layer in layers}
    first = group
    while left:
        if not 0 <= group < file.num_row_groups:
            raise DatasetError(f"no row group holds {next(iter(left))} to its end")
        for layer_id, start, numbers in _rows(file, group):
            if layer_id in left:
                _count(left, layer_id, len(numbers))
                for layer in waiting[layer_id]:
                    if not 0 <= start * layer.channel <= layer.numbers - len(numbers):
                        raise DatasetError(f"a part of {layer_id} is larger than the layer")
                    yield LayerPart(layer=layer, start=start, numbers=numbers)
        late = [layer_id for layer_id, (parts, _) in left.items() if parts == waiting[layer_id][0].n_parts]
        if group == first and late:
            raise DatasetError(f"row group {group} does not hold {late[0]}")
        group += 1


def _count(left: dict[str, list[int]], layer_id: str, numbers: int) -> None:
    parts, missing = left[layer_id][0] - 1, left[layer_id][1] - numbers
    if missing < 0 or (parts == 0 and missing):
        raise DatasetError(f"{layer_id} has not the size that the index says")
    if parts:
        left[layer_id] = [parts, missing]
    else:
        del left[layer_id]


def _rows(file: pq.ParquetFile, group: int) -> Iterator[tuple[str, int, NDArray[np.float32]]]:
    table: pa.Table = file.read_row_group(group, columns=_COLUMNS)
    for batch in table.to_batches():
        weight = batch.column("weight")
        offsets, numbers = weight.offsets.to_numpy(), weight.values.to_numpy()
        ids, starts = batch.column("layer_id").to_pylist(), batch.column("out_start").to_pylist()
        for row, (layer_id, start) in enumerate(zip(ids, starts, strict=True)):
            yield layer_id, start, numbers[offsets[row] : offsets[row + 1]]
