"""Read the weights of layers from one row group, and from the next ones if a layer has several parts."""

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
    """One row of a layers file.

    Attributes:
        request: The layer that it belongs to.
        start: Its first output channel.
        numbers: Its weight, flat, must not be written to.
    """

    request: LayerRequest
    start: int
    numbers: NDArray[np.float32]


def read_layer_parts(file: pq.ParquetFile, group: int, requests: Sequence[LayerRequest]) -> Iterator[LayerPart]:
    """Yield the parts of layers whose first part is in one row group. Memory is bounded by one row group.

    Args:
        file: A layers file.
        group: The row group of the first parts.
        requests: The layers.

    Raises:
        DatasetError: The file does not hold the layers as the index says.
    """
    by_id: dict[str, list[LayerRequest]] = {}
    for request in requests:
        by_id.setdefault(request.layer_id, []).append(request)
    # Parts and numbers that are still to come.
    missing = {request.layer_id: [request.n_parts, request.size] for request in requests}
    first = group
    while missing:
        if not 0 <= group < file.num_row_groups:
            raise DatasetError(f"no row group holds {next(iter(missing))} to its end")
        for layer_id, start, numbers in _rows(file, group):
            if layer_id in missing:
                _subtract(missing, layer_id, len(numbers))
                for request in by_id[layer_id]:
                    if not 0 <= start * request.channel_size <= request.size - len(numbers):
                        raise DatasetError(f"a part of {layer_id} is larger than the layer")
                    yield LayerPart(request=request, start=start, numbers=numbers)
        absent = [layer_id for layer_id, (parts, _) in missing.items() if parts == by_id[layer_id][0].n_parts]
        if group == first and absent:
            raise DatasetError(f"row group {group} does not hold {absent[0]}")
        group += 1


def _subtract(missing: dict[str, list[int]], layer_id: str, size: int) -> None:
    """Subtract one part from what is missing of a layer."""
    parts, numbers = missing[layer_id][0] - 1, missing[layer_id][1] - size
    if numbers < 0 or (parts == 0 and numbers):
        raise DatasetError(f"{layer_id} does not have the size that the index says")
    if parts:
        missing[layer_id] = [parts, numbers]
    else:
        del missing[layer_id]


def _rows(file: pq.ParquetFile, group: int) -> Iterator[tuple[str, int, NDArray[np.float32]]]:
    """Yield layer id, first output channel and flat weight of each row of a row group."""
    table: pa.Table = file.read_row_group(group, columns=_COLUMNS)
    for batch in table.to_batches():
        weight = batch.column("weight")
        offsets, numbers = weight.offsets.to_numpy(), weight.values.to_numpy()
        ids, starts = batch.column("layer_id").to_pylist(), batch.column("out_start").to_pylist()
        for row, (layer_id, start) in enumerate(zip(ids, starts, strict=True)):
            yield layer_id, start, numbers[offsets[row] : offsets[row + 1]]
